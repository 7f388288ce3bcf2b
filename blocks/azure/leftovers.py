"""Resources that may outlive a machine: its interface, public address and disk.

Interface and address carry Spotwave's tags, set in the PUT. Azure creates the disk and documents no tags for it, so a
disk is also recognized by its name, but only in the block's resource group.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from spotwave.blocks.azure.account import NETWORK_VERSION
from spotwave.blocks.azure.clients import POLL_S, Clients
from spotwave.blocks.azure.refusals import asked, status_of
from spotwave.blocks.azure.resource_ids import is_part, job_of_part, resource_id
from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import Leftover
from spotwave.blocks.tags import JOB, deadline_in

_DELETE_S = 120.0
_ROUNDS = 10

Kind = Literal["nic", "ip", "disk"]
# kind: (resource type, API version). Interfaces first: an address can only be deleted after its interface.
_TYPES: dict[Kind, tuple[str, str]] = {
    "nic": ("Microsoft.Network/networkInterfaces", NETWORK_VERSION),
    "ip": ("Microsoft.Network/publicIPAddresses", NETWORK_VERSION),
    "disk": ("Microsoft.Compute/disks", "2024-03-02"),
}


@dataclass(frozen=True)
class Part:
    kind: Kind
    id: str
    region: str
    zone: str | None
    tags: dict[str, str]
    user: str | None  #: id of the resource that it is attached to
    created_at: datetime | None = None

    @property
    def name(self) -> str:
        return resource_id(self.id).name


class Parts:
    def __init__(self, clients: Clients, resource_group: str) -> None:
        self._clients = clients
        self._group = resource_group.lower()

    def leftovers(self, job_key: str | None) -> list[Leftover]:
        """Return those of every region, interfaces first, since an address can only be deleted after its interface.
        Raises a LaunchRefused."""
        with asked("listing disks, interfaces and addresses"):
            parts = list(self._all())
            # Listed after the parts, so that a machine created meanwhile is included: until it is complete, its parts
            # are not attached yet.
            machines = [resource_id(str(vm.id)).name for vm in self._clients.compute.virtual_machines.list_all()]
        busy = {part.id for part in parts if part.kind == "nic" and part.user}
        return [
            Leftover(
                cloud="azure",
                kind=part.kind,
                id=part.id,
                region=part.region,
                zone=part.zone,
                job_key=key,
                created_at=part.created_at,
                deadline=deadline_in(part.tags),
            )
            for part in parts
            if (key := self._job_of(part))
            and job_key in (None, key)
            and not _used(part, busy)
            and not any(is_part(part.name, vm) for vm in machines)
        ]

    def remove(self, kind: Kind, id_: str) -> None:
        """Delete it; safe to repeat. Raises a LaunchRefused."""
        with asked(f"deleting the {kind}"):
            self._delete(kind, id_)

    def sweep(self, group: str, vm: str) -> None:
        """Delete the remains of a machine that is gone. Raises Throttled if some remain, or a LaunchRefused.

        Azure deletes them with the machine, but not always at once, and rejects concurrent deletions of one resource.
        """
        for _ in range(_ROUNDS):
            with asked("listing disks, interfaces and addresses"):
                left = [part for part in self._all(group) if is_part(part.name, vm)]
            if not left:
                return
            for part in left:
                self._try_to_delete(part)
            time.sleep(POLL_S / 2)  # the API has no event for this
        raise Throttled(f"{', '.join(part.name for part in left)}: not deleted yet; `spotwave reap` deletes them", 10.0)

    def _try_to_delete(self, part: Part) -> None:
        """Delete a part unless it is in use or already being deleted (400, 409, 412). Raises a LaunchRefused."""
        with asked(f"deleting the {part.kind}"):
            try:
                self._delete(part.kind, part.id)
            except HttpResponseError as error:
                if status_of(error) not in (400, 409, 412):
                    raise

    def _all(self, group: str | None = None) -> Iterator[Part]:
        where = f"/subscriptions/{self._clients.subscription}" + (f"/resourceGroups/{group}" if group else "")
        for kind, (type_, version) in _TYPES.items():
            for found in self._clients.all(f"{where}/providers/{type_}", version):
                yield _part(kind, found)

    def _job_of(self, part: Part) -> str | None:
        if key := part.tags.get(JOB):
            return key
        return job_of_part(part.name) if resource_id(part.id).group == self._group else None

    def _delete(self, kind: Kind, id_: str) -> None:
        """Delete a resource. Raises the SDK's errors."""
        _, version = _TYPES[kind]
        with suppress(ResourceNotFoundError):
            poller = self._clients.resources.begin_delete_by_id(str(resource_id(id_)), version)
            poller.wait(_DELETE_S)  # after this time the deletion is certainly in progress


def _used(part: Part, busy: set[str]) -> bool:
    """Whether a part is in use. An address belongs to an interface, and is in use if that is attached to a machine."""
    if part.kind == "ip" and part.user:
        return str(resource_id(part.user)) in busy
    return bool(part.user)


def _part(kind: Kind, found: dict[str, Any]) -> Part:
    """Build a part from a row of a list."""
    properties = found.get("properties") or {}
    user = {
        "nic": (properties.get("virtualMachine") or {}).get("id"),
        "ip": (properties.get("ipConfiguration") or {}).get("id"),
        "disk": found.get("managedBy"),
    }
    region, zones = str(found.get("location") or ""), found.get("zones")
    made = properties.get("timeCreated") if kind == "disk" else None
    return Part(
        kind=kind,
        id=str(resource_id(found["id"])),
        region=region,
        zone=f"{region}-{zones[0]}" if zones else None,
        tags=dict(found.get("tags") or {}),
        user=user[kind],
        created_at=datetime.fromisoformat(made) if made else None,
    )
