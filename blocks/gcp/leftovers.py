"""Resources that may outlive their machine: the job's secret, and disks that no machine uses.

The external address is ephemeral and the interface is part of the machine: both are deleted with it.
"""

from __future__ import annotations

from datetime import datetime

from google.api_core.exceptions import NotFound

from spotwave.blocks.gcp import all_zones, secrets
from spotwave.blocks.gcp.clients import Clients
from spotwave.blocks.gcp.operations import finished
from spotwave.blocks.gcp.refusals import GONE, codes_in, refusal_in, refusing
from spotwave.blocks.models import Leftover
from spotwave.blocks.tags import JOB, deadline_in

_GOING_S = 60.0


def leftovers(clients: Clients, job_key: str | None, patience_s: float) -> list[Leftover]:
    """Return those of one job, or of all. Raises a LaunchRefused."""
    with refusing():
        disks = [
            Leftover(
                cloud="gcp",
                kind="disk",
                id=disk.name,
                region=zone.rpartition("-")[0],
                zone=zone,
                job_key=disk.labels[JOB],
                created_at=datetime.fromisoformat(disk.creation_timestamp) if disk.creation_timestamp else None,
                deadline=deadline_in(disk.labels),
            )
            for zone, disk in all_zones.our_instances(clients, "disks", job_key, patience_s)
            if not disk.users
        ]
        return disks + [
            Leftover(
                cloud="gcp",
                kind="secret",
                id=secret.name.rpartition("/")[2],
                job_key=secret.labels[JOB],
                created_at=secret.create_time,
            )
            for secret in secrets.ours(clients, job_key, patience_s)
        ]


def remove(clients: Clients, leftover: Leftover, patience_s: float) -> None:
    """Delete it; no error if it is already gone. Raises a LaunchRefused."""
    with refusing():
        if leftover.kind == "secret":
            secrets.delete(clients, leftover.id, patience_s)
        elif leftover.kind == "disk":
            zone = str(leftover.zone)
            try:
                operation = clients.disks.delete_unary(
                    project=clients.project, zone=zone, disk=leftover.id, **Clients.call(patience_s)
                )
            except NotFound:
                return
            operation = finished(clients, zone, operation, _GOING_S)
            if (refused := refusal_in(operation)) and not codes_in(operation) & GONE:
                raise refused
