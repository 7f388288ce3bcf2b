"""Compute Engine's operations: wait for one, and find a machine's end in the operations log of its zone."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import requests

from spotwave.blocks.gcp.clients import Clients, is_transient
from spotwave.blocks.models import Machine

_HELD_S = 150.0  # the server holds the call for up to two minutes
_PACE_S = 0.5  # minimum interval, since a busy server may answer immediately
_PAGE, _MOST_PAGES = 500, 40  # the log covers about two weeks

PREEMPTED, DELETED = "compute.instances.preempted", "delete"


def finished(clients: Clients, zone: str, operation: Any, patience_s: float) -> Any:
    """Return the operation when it is done, or in its state after `patience_s`. Raises FAILURES."""
    end = time.monotonic() + patience_s
    while not is_done(operation) and (left := end - time.monotonic()) > 0:
        asked = time.monotonic()
        call = {**Clients.call(left, _is_worth_another), "timeout": min(left, _HELD_S)}
        try:
            operation = clients.zone_operations.wait(
                project=clients.project, zone=zone, operation=operation.name, **call
            )
        except requests.Timeout:
            continue  # the server still holds the call: not a failure, only the time limit
        if not is_done(operation):
            time.sleep(min(left, max(0.0, _PACE_S - (time.monotonic() - asked))))
    return operation


def _is_worth_another(error: Exception) -> bool:
    return is_transient(error) and not isinstance(error, requests.Timeout)


def is_done(operation: Any) -> bool:
    return bool(operation.status == type(operation).Status.DONE)


def endings_of(clients: Clients, machine: Machine, patience_s: float) -> set[str]:
    """Return which of `PREEMPTED` and `DELETED` the zone's log contains for the machine.

    Both, if it was deleted while being preempted. Raises FAILURES.
    """
    return {operation.operation_type for operation in _endings(clients, machine, patience_s)}


def ended_at(clients: Clients, machine: Machine, patience_s: float) -> datetime | None:
    """Return when it was deleted, by Spotwave or by itself; None if the log does not contain it. Raises FAILURES.

    The log has a preemption from its notice on, and the machine bills for the remaining seconds.
    """
    deleted = [one for one in _endings(clients, machine, patience_s) if one.operation_type == DELETED and is_done(one)]
    return min((datetime.fromisoformat(one.end_time) for one in deleted if one.end_time), default=None)


def _endings(clients: Clients, machine: Machine, patience_s: float) -> list[Any]:
    from google.cloud.compute_v1 import ListZoneOperationsRequest

    request = ListZoneOperationsRequest(
        project=clients.project,
        zone=str(machine.zone),
        filter=f'(operationType = "{PREEMPTED}") OR (operationType = "{DELETED}")',
        max_results=_PAGE,
    )
    pages = clients.zone_operations.list(request, **Clients.call(patience_s)).pages
    found = [operation for page, _ in zip(pages, range(_MOST_PAGES), strict=False) for operation in page.items]
    return [operation for operation in found if operation.target_link.endswith(f"/instances/{machine.id}")]
