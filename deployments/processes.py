"""Background processes: start them, find them again, end them.

A process is identified by its pid *and* its start, because the system may reuse the pid for another process. The start
is counted from the computer's boot: as a time of day it changes when the clock is set, on a laptop after each sleep.
All processes started here and their children have the home's path in their environment (`ENV_MARK`), so that they are
found even if a note is lost.
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

#: Not SPOTWAVE_HOME: a user may export that in a shell, and `down` must not end the shell.
ENV_MARK = "SPOTWAVE_STARTED_FOR"

PRIVATE = 0o077  #: umask of all of Spotwave's processes: no permissions for group and others


@dataclass(frozen=True)
class Note:
    """A started process: pid, start time (Unix seconds), and address of the API that it was started with.

    `auth` is the fingerprint of the API's auth string (keys.fingerprint); empty if there is none. `since_boot`: seconds
    from the computer's boot to the start; None in a note of an earlier version.
    """

    pid: int
    started: float
    url: str
    auth: str = ""
    since_boot: float | None = None

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """Return the note at `path`; None if it is missing or incomplete."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self)))

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs, else None."""
        try:
            process = psutil.Process(self.pid)
            known, now = self.started, process.create_time()
            if self.since_boot is not None:
                known, now = self.since_boot, _since_boot(process)
            same = abs(now - known) < 0.5
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def _since_boot(process: psutil.Process) -> float:
    """Return the seconds from boot to the start. psutil adds the boot time, which follows the clock, to get a time."""
    return process.create_time() - psutil.boot_time()


@contextmanager
def _default_sigint() -> Iterator[None]:
    """Let children started in this context react to SIGINT even if this process ignores it (after `&` or nohup).

    Prefect's worker turns SIGTERM into SIGINT; if that is ignored, the worker cannot be ended. Child processes inherit
    only *ignored* signals, so nothing else needs a change. Main thread only.
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
    """Start `command` in its own session, append its output to `log`, and create its files for the owner only."""
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
    child.returncode = 0  # the child outlives this process: suppress the warning when the handle is dropped
    process = psutil.Process(child.pid)
    return Note(child.pid, process.create_time(), url, auth, _since_boot(process))


def has_ended(note: Note) -> bool:
    """Return whether the process has ended; reaps it if it is a child of this process."""
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
    """Return the processes marked with `home` in their environment, except this process and its ancestors.

    `machines`: True for only the local cloud's machines, False for everything except them.
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
            continue  # ended, or another user's
        is_machine = ENV_MACHINE in environment
        works_here = Path(environment.get(ENV_WORK, "/")).is_relative_to(home)
        if is_machine == machines and (environment.get(ENV_MARK) == str(home) or (is_machine and works_here)):
            found.append(process)
    return found


def last_lines(log: Path, count: int = 8) -> str:
    """Return the last non-empty lines of a log, to quote them in an error message."""
    if not log.exists():
        return "(no log)"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-count:])
