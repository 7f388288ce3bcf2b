"""Outcome of a node run whose process ended without reporting one. Standard library only."""

from __future__ import annotations

from pathlib import Path

from spotwave.node.agent.engine import tail
from spotwave.node.outcome import Cause, Ending, Outcome
from spotwave.node.runtime.process import ended_by, how_it_ended
from spotwave.node.runtime.shortage import OomCounter, is_full, lacking_in


def unreported_exit(oom: OomCounter, work: Path) -> Outcome:
    """Return the outcome of an engine that ended during its work.

    It is not a child of the agent, so its exit status is unknown.
    """
    if oom.rose:
        return Outcome(Ending.LOST, "out of memory: the kernel killed the run's process", cause=Cause.MEMORY)
    if is_full(work):
        return Outcome(Ending.LOST, "the disk is full and the run's process has ended", cause=Cause.DISK)
    reason = "the run's process ended without reporting an outcome: it was killed or crashed"
    return Outcome(Ending.LOST, reason, cause=Cause.PROGRAM)


def exit_before_start(code: int, oom: OomCounter, log: Path) -> Outcome:
    """Return the outcome of an engine that ended with `code` before it began its work, from its log.

    An exit status (no signal) means that Python ended with a traceback: another machine would fail too.
    """
    signal, exit_status = ended_by(code)
    log_end = tail(log)
    cause = lacking_in(log_end) or (Cause.MEMORY if oom.rose else None)
    if cause is None and exit_status is not None:
        return Outcome(Ending.FAILED, f"the run's process ended at its start: {tail(log, 1)}", exit_status=exit_status)
    reason = f"the run's process {how_it_ended(code)} at its start: {log_end}"
    return Outcome(Ending.LOST, reason, cause=cause or Cause.PROGRAM, signal=signal, exit_status=exit_status)
