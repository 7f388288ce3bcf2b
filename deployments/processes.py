"""Starting processes that outlive us, knowing them again, and ending them.

A process is known by its pid *and* its start time, so that a pid that the system has given to somebody else
is never taken for ours. Everything started here, and all that it starts, carries the home in its environment
(`ENV_MARK`): that is how leftovers are found when notes are lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from spotwave.node.contract import ENV_MACHINE, ENV_WORK, write_text

#: Not SPOTWAVE_HOME: a user may export that in a shell, and the shell is not ours to end.
ENV_MARK = "SPOTWAVE_STARTED_FOR"

PRIVATE = 0o077  #: umask of all that is ours: nothing for the group, nothing for others


@dataclass(frozen=True)
class Note:
    """A process we started: pid, start time (Unix seconds), and the API that it was started with: address, and which
    auth string (keys.fingerprint; empty: none)."""

    pid: int
    started: float
    url: str
    auth: str = ""

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """The note at `path`; None if there is none or it is not whole."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self)))

    def process(self) -> psutil.Process | None:
        """The process itself if it still runs, else None."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 0.5
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@contextmanager
def _default_sigint() -> Iterator[None]:
    """Children started within are interruptible even if a shell's `&` or nohup made us ignore SIGINT.

    Prefect's worker turns the SIGTERM it gets into SIGINT; ignored, the worker could not be told to end.
    Only an *ignored* signal is inherited, hence nothing else needs a change. Main thread only.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def start(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path, url: str, auth: str = ""
) -> Note:
    """Start `command` in a session of its own, its output appended to `log`; its files are the owner's alone."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with _default_sigint():
            child = subprocess.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=PRIVATE,
            )
    finally:
        os.close(descriptor)
    child.returncode = 0  # it is meant to outlive us: no warning when the handle is dropped
    return Note(child.pid, psutil.Process(child.pid).create_time(), url, auth)


def has_ended(note: Note) -> bool:
    """Whether the process runs no more; reaps it if it is our own child."""
    with suppress(ChildProcessError):  # started by an earlier command: init reaps it
        os.waitpid(note.pid, os.WNOHANG)
    return note.process() is None


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """End processes: SIGTERM, `grace_s` seconds, then SIGKILL; at once SIGKILL if `grace_s` is 0."""
    remaining = list(processes)
    if grace_s > 0:
        for process in remaining:
            _send(process, signal.SIGTERM)
        _, remaining = psutil.wait_procs(remaining, timeout=grace_s)
    for process in remaining:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(remaining, timeout=10)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil checks the start time before it sends


def marked(home: Path, machines: bool) -> list[psutil.Process]:
    """Processes whose environment says they belong to `home`, except us and our ancestors.

    `machines` chooses: the local cloud's machines only, or everything but them.
    """
    kin = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in kin:
            continue
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # gone, or another user's: not ours
        is_machine = ENV_MACHINE in environment
        works_here = Path(environment.get(ENV_WORK, "/")).is_relative_to(home)
        if is_machine == machines and (environment.get(ENV_MARK) == str(home) or (is_machine and works_here)):
            found.append(process)
    return found


def last_lines(log: Path, count: int = 8) -> str:
    """The last lines of a log that are not empty, for an error that quotes them."""
    if not log.exists():
        return "(no log)"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-count:])
