"""Remaining quotas of the project that spot VMs count against (Compute Engine API v1: regions.list and projects.get,
`quotas`). Families whose quota is not listed there (C4, C4D, N4, C3D) stay unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from spotwave.blocks.gcp.clients import FAILURES, Clients
from spotwave.blocks.gcp.quotas import EVERYWHERE
from spotwave.blocks.quota_room import QuotaRoom

_PREEMPTIBLE = "PREEMPTIBLE_CPUS"


def quota_room(clients: Clients, patience_s: float) -> list[QuotaRoom]:
    """Return the quotas of every region and of the project with two calls; a failed call is left out."""
    found: list[QuotaRoom] = []
    try:
        for region in clients.regions.list(project=clients.project, **Clients.call(patience_s)):
            found += _of_region(list(_rooms(str(region.name), region.quotas)))
    except FAILURES:
        pass
    try:
        project = clients.projects.get(project=clients.project, **Clients.call(patience_s))
    except FAILURES:
        return found
    return found + [room for room in _rooms("", project.quotas) if room.name in EVERYWHERE]


def _of_region(rooms: list[QuotaRoom]) -> list[QuotaRoom]:
    """Return the quotas for spot: the preemptible one if the project has any, else the ordinary ones."""
    own = [room for room in rooms if room.name == _PREEMPTIBLE and room.limit > 0]
    return own or [room for room in rooms if room.name != _PREEMPTIBLE]


def _rooms(region: str, quotas: Iterable[Any]) -> Iterator[QuotaRoom]:
    """Yield the quotas of CPUs and, for the project, GPUs."""
    for quota in quotas:
        name = str(quota.metric)
        if (name.endswith("CPUS") or name in EVERYWHERE) and quota.limit >= 0:
            yield QuotaRoom(
                cloud="gcp",
                region=region,
                name=name,
                title=name,
                unit="GPUs" if name.startswith("GPUS") else "vCPUs",
                limit=quota.limit,
                left=quota.limit - quota.usage,
            )
