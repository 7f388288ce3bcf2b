"""Deletion time of a machine, from Resource Graph's record of changes.

Source: Microsoft Learn, "Get resource changes" (table resourcechanges): a record usually appears within five minutes
and is kept for 14 days; `changeAttributes.timestamp` is the time of the change, `targetResourceId` the resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from spotwave.blocks.azure.clients import Clients
from spotwave.blocks.azure.refusals import asked
from spotwave.blocks.azure.resource_ids import resource_id
from spotwave.blocks.errors import Throttled, Unclear
from spotwave.blocks.models import Machine

_MOST = 100  #: deletions of one name within 14 days; a name is usually used once
_WHAT = "reading the time of deletion"


def deleted_at(clients: Clients, machine: Machine) -> datetime | None:
    """Return when it was deleted; None if there is no record, or not yet. Raises a LaunchRefused."""
    from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

    query = QueryRequest(
        query=question(machine.id),
        subscriptions=[clients.subscription],
        options=QueryRequestOptions(top=_MOST, result_format="objectArray"),
    )
    with asked(_WHAT):
        answer = clients.graph.resources(query)
    if not isinstance(answer.data, list):
        raise Throttled(f"{_WHAT} failed: the answer was lost (it has no 'data')", 2.0)
    # The name may also have been used for an earlier machine.
    return min((at for at in _times(answer.data) if at >= machine.launched_at), default=None)


def question(machine_id: str) -> str:
    """Return the query in Kusto's language. Raises Unclear if `machine_id` is not a resource id."""
    try:
        id_ = str(resource_id(machine_id))
    except ValueError as error:
        raise Unclear(f"{_WHAT} failed: {error}") from error
    if not id_.isprintable():
        raise Unclear(f"{_WHAT} failed: {id_!r} is not a resource ID")
    return (
        f"resourcechanges | where properties.targetResourceId =~ {literal(id_)} "
        "and properties.changeType == 'Delete' | project at = tostring(properties.changeAttributes.timestamp)"
    )


def literal(text: str) -> str:
    """Return a Kusto string literal: backslash and quote are escaped with a backslash."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _times(rows: Iterable[Mapping[str, Any]]) -> Iterable[datetime]:
    """Yield the times that can be parsed."""
    for row in rows:
        try:
            at = datetime.fromisoformat(row["at"])
        except (KeyError, TypeError, ValueError):
            continue
        yield at if at.tzinfo is not None else at.replace(tzinfo=UTC)
