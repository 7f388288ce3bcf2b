"""Which events a machine may send through the proxy (blocks.machine_events judges them), and which it may hear of."""

from __future__ import annotations

from typing import Any

from spotwave.blocks.machine_events import NotOwn, checked, id_of, named
from spotwave.deployments.proxy.attempt import Attempt
from spotwave.deployments.proxy.rules import Refused

HEARD = frozenset({"prefect.flow-run.Cancelling", "prefect.flow-run.Suspended"})


async def check(attempt: Attempt, event: Any) -> dict[str, Any]:
    """The event as it is sent on, its texts made plain.

    Raises Refused unless it is one that Prefect's worker or engine sends, on the attempt's own affairs; Away if the API
    does not answer.
    """
    try:
        own = {resource for resource in set(named(event)) if await attempt.concerns(resource)}
        run = await attempt.run()
        return checked(event, run.id if run is not None else None, own)
    except NotOwn as error:
        raise Refused(str(error)) from None


def wanted(asked: Any) -> dict[str, Any]:
    """The filter to subscribe with, for what a worker or engine asks for. Raises Refused for anything else."""
    told = asked.get("filter") if isinstance(asked, dict) and asked.get("type") == "filter" else None
    event = told.get("event") if isinstance(told, dict) else None
    names = event.get("name") if isinstance(event, dict) else None
    if not isinstance(told, dict) or not isinstance(names, list) or not names or not HEARD.issuperset(map(str, names)):
        raise Refused("only a flow run's cancelling and suspending can be heard of")
    kept: dict[str, Any] = {"event": {"name": names}}
    if isinstance(told.get("occurred"), dict):
        kept["occurred"] = told["occurred"]
    return {"type": "filter", "filter": kept}


async def may_hear(attempt: Attempt, told: Any) -> bool:
    """Whether an event of the server's is on the attempt's own flow run: the filter cannot know it beforehand."""
    try:
        subject = id_of(told["event"]["resource"])
    except (KeyError, TypeError, NotOwn):
        return False
    kind, _, id_ = subject.removeprefix("prefect.").partition(".")
    return kind == "flow-run" and await attempt.owns_run(id_)
