"""How the node run's process ended that has not said so itself. Standard library only."""

from __future__ import annotations

from pathlib import Path

from spotwave.node.agent.engine import tail
from spotwave.node.outcome import Cause, Ending, Outcome
from spotwave.node.runtime.process import ended_by, how_it_ended
from spotwave.node.runtime.shortage import OomCounter, is_full, lacking_in


def unreported_exit(oom: OomCounter, work: Path) -> Outcome:
    """It was at work, and was gone. It is nobody's child here: its exit status is not known."""
    if oom.rose:
        return Outcome(Ending.LOST, "out of memory: the kernel has killed the run's process", cause=Cause.MEMORY)
    if is_full(work):
        return Outcome(Ending.LOST, "the disk is full, and the run's process has ended", cause=Cause.DISK)
    return Outcome(Ending.LOST, "the run's process died without a word: it was killed, or crashed", cause=Cause.PROGRAM)


def exit_before_start(code: int, oom: OomCounter, log: Path) -> Outcome:
    """It ended with `code` before it was at work; its log may say why.

    An exit status of its own is a traceback: another machine would fail too.
    """
    signal, exit_status = ended_by(code)
    said = tail(log)
    cause = lacking_in(said) or (Cause.MEMORY if oom.rose else None)
    if cause is None and exit_status is not None:
        return Outcome(Ending.FAILED, f"the run ended before it began: {tail(log, 1)}", exit_status=exit_status)
    reason = f"the run's process {how_it_ended(code)} before it began: {said}"
    return Outcome(Ending.LOST, reason, cause=cause or Cause.PROGRAM, signal=signal, exit_status=exit_status)
