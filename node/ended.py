"""How a node flow ends that the agent has asked to stop: the same for every kind of job."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Crashed

from node.desk import Desk


def interrupted(desk: Desk, error: BaseException, expected: tuple[type[BaseException], ...]) -> State[Any] | None:
    """Crashed("Interrupted") if the agent wants the work to end, else None: then `error` is a fault of its own, or a
    signal from Prefect, which cancels.

    expected: what a stop comes out as. Whatever the error says, the agent's word counts: a signal may strike a library
    in the midst of a file, and come out as its own.
    """
    stop = desk.stop_asked()
    if stop is None:
        return None
    if not isinstance(error, expected):
        get_run_logger().info("the signal to stop came out as %r", error)
    return Crashed(name="Interrupted", message=stop.reason)
