"""The requirements of the next machine after machines that were too small, and when no machine would do. Pure.

A machine reports itself what it was short of, and is not trusted. So the figures are doubled from what was rented, at
most `MOST_DOUBLINGS` times, and the job's own limits hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotwave.blocks.models import Requirements
from spotwave.node.contract import Cause, Ending
from spotwave.tasks.records import Attempt

MOST_DOUBLINGS = 3  # of memory, and of disk
_FOR_MEMORY = "Or reduce the calculation: a larger eps1 or eps2, a smaller basis, a frozen core"


@dataclass(frozen=True)
class NextMachine:
    """The requirements of the next machine."""

    requirements: Requirements
    why: str = ""  #: why they exceed the job's own; empty if they do not
    problem: str | None = None  #: why there should be no next machine; a line for the user


def next_machine(requirements: Requirements, attempts: Sequence[Attempt], fixed: Sequence[str] = ()) -> NextMachine:
    """Return what the next machine needs after these attempts, oldest first. requirements: the job's own.

    fixed: clouds whose machines have a disk of fixed size.
    """
    memory, disk = requirements.min_memory_gib, requirements.disk_gib
    why: dict[Cause, str] = {}  # the most recent shortage comes last
    for attempt in attempts:
        had, step = attempt.machine.offer.memory_gib, _at(attempt)
        match attempt.outcome.cause:
            case Cause.MEMORY:
                memory = max(memory, 2 * had)
                why.pop(Cause.MEMORY, None)
                why[Cause.MEMORY] = f"memory: {had:g} GiB was too little{step}, so at least {memory:g} GiB"
            case Cause.DISK if attempt.machine.cloud not in fixed:
                had = attempt.machine.disk_gib or disk
                disk = max(disk, 2 * had)
                why.pop(Cause.DISK, None)
                why[Cause.DISK] = f"disk: {had:g} GiB was too little{step}, so {disk:g} GiB"
            case _:
                pass
    grown = requirements.model_copy(update={"min_memory_gib": memory, "disk_gib": disk})
    return NextMachine(grown, "; ".join(why.values()), _problem(requirements, memory, attempts, fixed))


def _problem(
    requirements: Requirements, memory: float, attempts: Sequence[Attempt], fixed: Sequence[str]
) -> str | None:
    """Return why no further machine would help, judging by the last attempt."""
    last = attempts[-1] if attempts else None
    if last is None or last.outcome.ending is not Ending.LOST:
        return None
    same = [one for one in attempts if one.outcome.cause is last.outcome.cause]
    match last.outcome.cause:
        case Cause.MEMORY:
            had, most = last.machine.offer.memory_gib, requirements.max_memory_gib
            if most is not None and memory > most:
                return (
                    f"requirements.max_memory_gib: {had:g} GiB was too little{_at(last)}, the next machine should "
                    f"have {memory:g} GiB, but only {most:g} GiB are allowed. Allow more. {_FOR_MEMORY}"
                )
            if len(same) > MOST_DOUBLINGS:
                return (
                    f"requirements.min_memory_gib: {had:g} GiB was too little{_at(last)} too, after "
                    f"{MOST_DOUBLINGS} doublings. Request more from the start. {_FOR_MEMORY}"
                )
        case Cause.DISK if last.machine.cloud in fixed:
            return (
                f"disk: the disk of the machines of {last.machine.cloud} is full{_at(last)}, and a bigger one "
                "cannot be rented there. Free some space on it, or name another cloud"
            )
        case Cause.DISK if len(same) > MOST_DOUBLINGS:
            return (
                f"requirements.disk_gib: {last.machine.disk_gib:g} GiB was too little{_at(last)} too, after "
                f"{MOST_DOUBLINGS} doublings. Request more from the start"
            )
        case Cause.PROGRAM:
            return _fails_again(last, same[:-1])
        case _:
            pass
    return None


def _fails_again(last: Attempt, before: Sequence[Attempt]) -> str | None:
    """Return a message if the program has failed twice in the same way at the same step, with no checkpoint between."""
    way = _way(last)
    for one in reversed(before):
        if _way(one) == way:
            return (
                f"attempts {one.number} and {last.number} ended in the same way{_at(last)} without progress in "
                f"between, and a third would too: {last.outcome.reason}"
            )
    return None


def _way(attempt: Attempt) -> tuple[object, ...]:
    outcome = attempt.outcome
    return outcome.signal, outcome.exit_status, outcome.step, outcome.generation


def _at(attempt: Attempt) -> str:
    return f" at {attempt.outcome.step}" if attempt.outcome.step else ""
