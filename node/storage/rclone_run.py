"""Run the rclone binary with limits on time and output."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from spotwave.node.untrusted.bounded_output import TooLong, communicate

_BOUNDS = ["--retries=3", "--low-level-retries=3", "--retries-sleep=500ms", "--contimeout=10s", "--timeout=60s"]


class RemoteError(Exception):
    """A call failed: the remote is unreachable, refused or too slow. Holds rclone's last message, without secrets."""


class RemoteTooLong(RemoteError):
    """The remote answered with more bytes than the limit allows."""


def run(
    binary: str,
    config: Path | None,
    verb: str,
    arguments: Sequence[str],
    timeout_s: float,
    stdin: bytes,
    most_bytes: int,
) -> subprocess.CompletedProcess[bytes]:
    """Run rclone in its own process group, which never outlives this call.

    Raises RemoteError if it cannot be started or does not end in time, RemoteTooLong if it prints more than
    `most_bytes`.
    """
    config_path = str(config) if config else ""  # empty: a configuration in memory only
    command = [binary, verb, f"--config={config_path}", "--ask-password=false", *_BOUNDS, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RCLONE_")}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except OSError as error:
        raise RemoteError(f"the rclone program cannot be started: {error}") from error
    try:
        out, messages = communicate(process, stdin, timeout_s, most_bytes)
    except TooLong:
        raise RemoteTooLong(f"rclone {verb}: the output exceeds the limit of {most_bytes} bytes") from None
    except subprocess.TimeoutExpired:
        # Not chained: the original exception quotes the whole command line.
        raise RemoteError(f"rclone {verb}: timed out after {timeout_s:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes the pipes and reaps the process
            pass
    return subprocess.CompletedProcess(verb, process.returncode, out, messages)
