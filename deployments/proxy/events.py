"""The events that a machine may send through the proxy (checked by blocks.machine_events) and may receive."""

from __future__ import annotations

from typing import Any

from spotwave.blocks.machine_events import NotOwn, checked, id_of, named
from spotwave.deployments.proxy.attempt import Attempt
from spotwave.deployments.proxy.rules import Refused

RECEIVABLE = frozenset({"prefect.flow-run.Cancelling", "prefect.flow-run.Suspended"})


async def check(attempt: Attempt, event: Any) -> dict[str, Any]:
    """Return the event to forward, with sanitized texts.

    Raises Refused unless it is an event of Prefect's worker or engine about the attempt's own resources;
    ApiUnavailable if the API does not answer.
    """
    try:
        own = {resource for resource in set(named(event)) if await attempt.may_refer_to(resource)}
        run = await attempt.run()
        return checked(event, run.id if run is not None else None, own)
    except NotOwn as error:
        raise Refused(str(error)) from None


def wanted(request: Any) -> dict[str, Any]:
    """Return the subscription filter for a worker's or engine's request. Raises Refused for any other request."""
    found = request.get("filter") if isinstance(request, dict) and request.get("type") == "filter" else None
    event = found.get("event") if isinstance(found, dict) else None
    names = event.get("name") if isinstance(event, dict) else None
    is_valid = isinstance(names, list) and bool(names) and RECEIVABLE.issuperset(map(str, names))
    if not isinstance(found, dict) or not is_valid:
        raise Refused("only a flow run's cancelling and suspending events can be subscribed to")
    kept: dict[str, Any] = {"event": {"name": names}}
    if isinstance(found.get("occurred"), dict):
        kept["occurred"] = found["occurred"]
    return {"type": "filter", "filter": kept}


async def may_receive(attempt: Attempt, message: Any) -> bool:
    """Return whether an event from the server is about the attempt's own flow run; the filter cannot select by run."""
    try:
        subject = id_of(message["event"]["resource"])
    except (KeyError, TypeError, NotOwn):
        return False
    kind, _, id_ = subject.removeprefix("prefect.").partition(".")
    return kind == "flow-run" and await attempt.owns_run(id_)
