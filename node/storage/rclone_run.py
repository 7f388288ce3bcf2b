"""One run of the rclone binary: bounded in time and in what it may say."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from spotwave.node.untrusted.bounded_output import TooLong, communicate

_BOUNDS = ["--retries=3", "--low-level-retries=3", "--retries-sleep=500ms", "--contimeout=10s", "--timeout=60s"]


class RemoteError(Exception):
    """The remote could not do it: unreachable, refused, or too slow. Holds rclone's last word, without secrets."""


class RemoteTooLong(RemoteError):
    """The remote answered, and what is there is longer than is taken: whoever waits for a letter has none."""


def run(
    binary: str,
    config: Path | None,
    verb: str,
    arguments: Sequence[str],
    timeout_s: float,
    stdin: bytes,
    most_bytes: int,
) -> subprocess.CompletedProcess[bytes]:
    """Run rclone in a process group of its own, which never outlives this call.

    Raises RemoteError if it cannot be started or does not end in time, RemoteTooLong where it says more than
    `most_bytes`.
    """
    told_config = str(config) if config else ""  # empty: a configuration in memory only
    command = [binary, verb, f"--config={told_config}", "--ask-password=false", *_BOUNDS, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RCLONE_")}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except OSError as error:
        raise RemoteError(f"the rclone program cannot be started: {error}") from error
    try:
        out, told = communicate(process, stdin, timeout_s, most_bytes)
    except TooLong:
        raise RemoteTooLong(f"rclone {verb}: more than the {most_bytes} bytes that are taken") from None
    except subprocess.TimeoutExpired:
        # Not chained: the exception it replaces quotes the whole command line.
        raise RemoteError(f"rclone {verb}: no end after {timeout_s:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes the pipes, reaps
            pass
    return subprocess.CompletedProcess(verb, process.returncode, out, told)
