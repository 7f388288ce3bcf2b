"""Classify the end of a program: an error of the calculation, too small a machine, or a crash."""

from __future__ import annotations

from pathlib import Path

from spotwave.node.jobs.shci.programs.base import last_lines
from spotwave.node.outcome import Cause
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.process import ended_by, how_it_ended
from spotwave.node.runtime.shortage import OomCounter, lacking_in

# Exit codes of the bundled programs; other programs report a shortage only as text.
SHORT_OF_MEMORY = 104
SHORT_OF_DISK = 105
CHILD_DIED = 106  # one of their child processes was killed
_OUR_OWN = {SHORT_OF_MEMORY: Cause.MEMORY, SHORT_OF_DISK: Cause.DISK, CHILD_DIED: Cause.PROGRAM}


def failure(name: str, code: int, log: Path, oom: OomCounter, *, our_own: bool = False) -> ProgramFailed:
    """Return the exception for a program that has ended with `code`, which is not 0.

    oom: created before the program started. our_own: whether it uses the exit codes above.
    """
    end = last_lines(log)
    signal, exit_status = ended_by(code)
    own = _OUR_OWN.get(code) if our_own else None
    cause = own if own in (Cause.MEMORY, Cause.DISK) else lacking_in(end)
    if cause is None and oom.rose:
        cause = Cause.MEMORY
    if cause is None and (signal is not None or own is not None):
        cause = Cause.PROGRAM
    short = {Cause.MEMORY: ", out of memory", Cause.DISK: ", the disk is full"}.get(cause or Cause.PROGRAM, "")
    summary = f"{name} {how_it_ended(code)}{short}"
    text = f"{summary}. The end of its log:\n{end}"
    return ProgramFailed(text, summary=summary, cause=cause, signal=signal, exit_status=exit_status)
