"""Calls of the emulated Compute Engine: instances, disks and operations."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.emulators.gcp_answers import error, reply, resource
from tests.emulators.gcp_life import Instance, Instances
from tests.emulators.gcp_operations import Failed, now
from tests.emulators.gcp_rules import complaint
from tests.emulators.gcp_world import World
from tests.emulators.metadata import GcpMetadata
from tests.emulators.server import Request, Response

PREEMPTION_NOTICE_S = 30.0
ORIGIN = "https://www.googleapis.com/compute/v1"


@dataclass
class Insert:
    """A received insertion."""

    zone: str
    request_id: str
    body: dict[str, Any] = field(repr=False)


class Compute(Instances):
    """Compute Engine of one project. All public methods take the lock themselves."""

    def __init__(self, world: World, *, boots: bool, folder: Path | None) -> None:
        super().__init__(world, boots=boots, folder=folder)
        self.inserts: list[Insert] = []
        self.warnings: dict[str, str] = {}  #: zones with a warning code instead of a list
        self.unreachable: list[str] = []
        self.page_size = 500
        self._tokens: dict[str, str] = {}

    def forget_requests(self) -> None:
        """Forget request ids, as the service does after some time."""
        with self.lock:
            self._tokens.clear()

    def insert(self, request: Request, zone: str) -> Response:
        body, token = json.loads(request.body), request.query.get("requestId", "")
        with self.lock:
            if (answered := self._received(zone, token, body)) is not None:
                return answered
            if (wrong := complaint(self.world, zone, body)) is not None:
                return wrong
            name = body["name"]
            if (zone, name) in self.instances:
                where = resource(self.world.project, zone, "instances", name)
                return error(409, "alreadyExists", f"The resource '{where}' already exists")
            instance = self._placed(zone, name, body)
            operation = self._begin(zone, "insert", name, lambda: self._make(instance))
            if token:
                self._tokens[token] = operation
            return self.operations.show(operation)

    def bulk_insert(self, request: Request, zone: str) -> Response:
        """All of `perInstanceProperties`, whose keys are the names: "If min_count instances cannot be created, then no
        instances will be created and instances already created will be deleted" (Compute Engine API,
        BulkInsertInstanceResource). How a name that exists already is refused is not documented; here, as for what
        cannot be created, by the operation.
        """
        asked, token = json.loads(request.body), request.query.get("requestId", "")
        body, names = asked["instanceProperties"], sorted(asked.get("perInstanceProperties", {}))
        count, least = int(asked["count"]), int(asked.get("minCount", asked["count"]))
        with self.lock:
            if (answered := self._received(zone, token, asked)) is not None:
                return answered
            if "/" in body["machineType"] or "/" in body["disks"][0]["initializeParams"].get("diskType", ""):
                return error(400, "invalid", "Invalid value for field 'resource.instanceProperties': name it, no URL")
            if count != len(names) or not 0 < least <= count <= 1000:
                return error(400, "invalid", "Invalid value for field 'resource.count'")
            for name in names:
                if (wrong := complaint(self.world, zone, {**body, "name": name})) is not None:
                    return wrong
            operation = self._begin(zone, "bulkInsert", names[0], lambda: self._make_all(zone, names, body, least))
            if token:
                self._tokens[token] = operation
            return self.operations.show(operation)

    def _received(self, zone: str, token: str, body: dict[str, Any]) -> Response | None:
        """The answer to a request that is refused for its token, or was answered before."""
        self.inserts.append(Insert(zone, token, body))
        if token:
            try:
                if uuid.UUID(token).int == 0:
                    raise ValueError
            except ValueError:
                return error(400, "invalid", "Invalid value for field 'requestId'")
        return self.operations.show(self._tokens[token]) if token in self._tokens else None

    def _placed(self, zone: str, name: str, body: dict[str, Any]) -> Instance:
        attributes = {item["key"]: item["value"] for item in body.get("metadata", {}).get("items", [])}
        metadata = GcpMetadata(
            name,
            project=self.world.project,
            zone=zone,
            machine_type=body["machineType"].rpartition("/")[2],
            attributes=attributes,
            service_account=next((one["email"] for one in body.get("serviceAccounts", [])), None),
        )
        instance = Instance(
            id=name,
            tags=dict(body.get("labels", {})),
            metadata=metadata,
            unseen=self.unseen,
            zone=zone,
            body={**body, "name": name, "creationTimestamp": now(), "zone": f"{ORIGIN}/zones/{zone}"},
        )
        self.instances[zone, name] = instance
        return instance

    def _make_all(self, zone: str, names: list[str], body: dict[str, Any], least: int) -> None:
        made: list[Instance] = []
        failed: Failed | None = None
        for name in names:
            try:
                with self.lock:
                    if (zone, name) in self.instances:
                        raise Failed("RESOURCE_ALREADY_EXISTS", f"The resource '{name}' already exists", 409)
                    instance = self._placed(zone, name, json.loads(json.dumps(body)))
                self._make(instance)
                made.append(instance)
            except Failed as error_:
                failed = error_
        if failed is not None and len(made) < least:
            for instance in made:
                self._remove(instance)
            raise failed

    def get(self, zone: str, name: str) -> Response:
        with self.lock:
            instance = self.instances.get((zone, name))
            if instance is None or not instance.is_seen():
                return self._not_found(zone, "instances", name)
            return reply(_told(instance))

    def delete(self, zone: str, name: str) -> Response:
        with self.lock:
            instance = self.instances.get((zone, name))
            if instance is None:
                return self._not_found(zone, "instances", name)
            instance.status = "STOPPING"
            return self.operations.show(self._begin(zone, "delete", name, lambda: self._remove(instance)))

    def simulate_maintenance(self, zone: str, name: str) -> Response:
        """Preempt a spot VM, which is not migrated, half a minute after the notice."""
        with self.lock:
            instance = self.instances.get((zone, name))
            if instance is None:
                return self._not_found(zone, "instances", name)
            if instance.body["scheduling"].get("provisioningModel") != "SPOT":
                return error(400, "invalid", "this emulator preempts spot VMs only")

            def preempt() -> None:
                with self.lock:
                    if (zone, name) in self.instances:
                        self.interrupt(name, PREEMPTION_NOTICE_S)

            return self.operations.show(self._begin(zone, "simulateMaintenanceEvent", name, preempt))

    def delete_disk(self, zone: str, name: str) -> Response:
        with self.lock:
            disk = self.disks.get((zone, name))
            if disk is None:
                return self._not_found(zone, "disks", name)
            if disk["users"]:
                return error(400, "resourceInUseByAnotherResource", f"The disk resource '{name}' is already being used")
            return self.operations.show(self._begin(zone, "delete", name, lambda: self._drop_disk(zone, name), "disks"))

    def list_instances(self, request: Request) -> Response:
        with self.lock:
            rows = [(one.zone, _told(one)) for one in self.instances.values() if one.is_seen()]
        return self._aggregated(request, "instances", rows)

    def list_disks(self, request: Request) -> Response:
        with self.lock:
            rows = [(zone, row) for (zone, _), row in self.disks.items()]
        return self._aggregated(request, "disks", rows)

    def _begin(self, zone: str, kind: str, name: str, work: Callable[[], None], of: str = "instances") -> str:
        return self.operations.begin(zone, kind, f"{of}/{name}", work, self.delay_s)

    def _aggregated(self, request: Request, kind: str, rows: list[tuple[str, dict[str, Any]]]) -> Response:
        kept = [row for row in rows if _passes(row[1].get("labels", {}), request.query.get("filter", ""))]
        size = min(int(request.query.get("maxResults", "500")), self.page_size)
        start = int(request.query.get("pageToken", "0"))
        items: dict[str, Any] = {}
        for zone, row in kept[start : start + size]:
            items.setdefault(f"zones/{zone}", {kind: []})[kind].append(row)
        for zone in self.world.zones:
            items.setdefault(f"zones/{zone}", {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "..."}})
        for zone, code in self.warnings.items():
            items[f"zones/{zone}"] = {"warning": {"code": code, "message": "..."}}
        page: dict[str, Any] = {"items": items}
        if self.unreachable:
            page["unreachables"] = self.unreachable
        if start + size < len(kept):
            page["nextPageToken"] = str(start + size)
        return reply(page)

    def _not_found(self, zone: str, kind: str, name: str) -> Response:
        return error(404, "notFound", f"The resource '{resource(self.world.project, zone, kind, name)}' was not found")


def _told(instance: Instance) -> dict[str, Any]:
    return {**instance.body, "status": instance.status, "labels": instance.tags}


def _passes(labels: dict[str, str], asked: str) -> bool:
    """Whether labels match 'labels.k:*' or 'labels.k = "v"'."""
    if not asked:
        return True
    found = re.fullmatch(r'labels\.([\w-]+)(?::\*|\s*=\s*"?([\w-]+)"?)', asked)
    assert found, asked
    return found[1] in labels and found[2] in (None, labels[found[1]])
