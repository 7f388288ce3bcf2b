"""Machines of one attempt that are created one by one: all of them, or none stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from spotwave.blocks.errors import LaunchRefused, Throttled
from spotwave.blocks.models import LaunchBrief, Machine

AT_ONCE = 16  #: creations that are under way together


def check_count(brief: LaunchBrief, count: int) -> None:
    """Raises ValueError where the brief is not that of node 0 of `count` machines."""
    if count != brief.brief.nodes or brief.brief.node:
        raise ValueError(f"count: {count} machines, and the brief is of node {brief.brief.node} of {brief.brief.nodes}")


def launch_each(
    launch: Callable[[LaunchBrief], Machine], terminate: Callable[[Machine], None], brief: LaunchBrief
) -> list[Machine]:
    """Launch every node of the brief, each idempotent by its own name; terminate all that came if one is refused.

    Raises the first refusal, by node; `Throttled` if a machine that came could not be terminated: the same launch again
    finds it.
    """
    # Node 0 alone at first: what all share (secret, network, clients) is made once, and a full zone is known at once.
    first = launch(brief.of_node(0))
    others = range(1, brief.brief.nodes)
    if not others:
        return [first]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        launched = [threads.submit(launch, brief.of_node(node)) for node in others]
    refusals = [error for one in launched if (error := one.exception()) is not None]
    if not refusals:
        return [first, *(one.result() for one in launched)]
    undo(terminate, [first, *(one.result() for one in launched if one.exception() is None)], refusals[0])
    raise refusals[0]


def undo(terminate: Callable[[Machine], None], machines: Sequence[Machine], refused: BaseException) -> None:
    """Terminate machines of a launch that was refused as a whole. Raises `Throttled` if one may still run."""
    may_run = []
    for machine in machines:
        try:
            terminate(machine)
        except LaunchRefused:
            may_run.append(machine.id)
    if may_run:
        raise Throttled(f"{refused}; {', '.join(may_run)} may still run") from refused
