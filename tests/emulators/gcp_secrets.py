"""The emulated Secret Manager."""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.emulators.gcp_answers import newer_error, reply
from tests.emulators.gcp_world import World
from tests.emulators.ledger import Ledger
from tests.emulators.server import Request, Response

LOCATIONS_POLICY = "constraints/gcp.resourceLocations"


@dataclass
class Secret:
    body: dict[str, Any]
    versions: list[bytes] = field(default_factory=list)


class Secrets:
    """Secrets of one project."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world = world
        self._project = world.project
        self._ledger = ledger
        self._lock = threading.Lock()
        self.living: dict[str, Secret] = {}

    def create(self, request: Request) -> Response:
        name, body = request.query["secretId"], json.loads(request.body)
        with self._lock:
            if name in self.living:
                return newer_error(409, "ALREADY_EXISTS", f"Secret [projects/1/secrets/{name}] already exists.")
            if datetime.fromisoformat(body["expireTime"]) < datetime.now(UTC):
                return newer_error(400, "INVALID_ARGUMENT", "Secret.expire_time must be in the future.")
            replicas = body["replication"].get("userManaged", {}).get("replicas", [])
            places = [replica["location"] for replica in replicas]
            if bool(places) == ("automatic" in body["replication"]):
                return newer_error(400, "INVALID_ARGUMENT", "The secret needs one replication policy.")
            if (refused := self._forbidden(places or ["global"])) is not None:
                return refused
            created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            self.living[name] = Secret({**body, "name": self._path(name), "createTime": created})
            self._ledger.open("secret", name)
            return reply(self.living[name].body)

    def list(self, request: Request) -> Response:
        asked = request.query.get("filter", "")
        found = re.fullmatch(r"labels\.([\w-]+)(?::\*|=([\w-]+))", asked)
        assert found, asked
        with self._lock:
            rows = [one.body for one in self.living.values()]
        kept = [row for row in rows if found[1] in row["labels"] and found[2] in (None, row["labels"][found[1]])]
        return reply({"secrets": kept, "totalSize": len(kept)})

    def add_version(self, request: Request, name: str) -> Response:
        payload = json.loads(request.body)["payload"]
        with self._lock:
            if name not in self.living:
                return self._missing(name)
            versions = self.living[name].versions
            versions.append(base64.b64decode(payload["data"]))
            return reply({"name": f"{self._path(name)}/versions/{len(versions)}", "state": "ENABLED"})

    def access(self, name: str) -> Response:
        with self._lock:
            if name not in self.living or not self.living[name].versions:
                return self._missing(name)
            versions = self.living[name].versions
            data = base64.b64encode(versions[-1]).decode()
            return reply({"name": f"{self._path(name)}/versions/{len(versions)}", "payload": {"data": data}})

    def delete(self, name: str) -> Response:
        with self._lock:
            if self.living.pop(name, None) is None:
                return self._missing(name)
            self._ledger.close("secret", name)
            return reply({})

    def _forbidden(self, places: list[str]) -> Response | None:
        """Return the error of a location policy, as in firebase/firebase-tools#6454: a policy that allows some regions
        does not allow `global`."""
        closed = self._world.closed
        if not closed or not closed.union({"global"}).intersection(places):
            return None
        said = (
            f"Constraint {LOCATIONS_POLICY} violated for [orgpolicy:projects/1] attempting to create a secret in "
            f"[{', '.join(places)}]."
        )
        violation = {"type": LOCATIONS_POLICY, "subject": "orgpolicy:projects/1", "description": said}
        detail = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}
        body = {"code": 400, "message": said, "status": "FAILED_PRECONDITION", "details": [detail]}
        return Response(json.dumps({"error": body}).encode(), 400)

    def _path(self, name: str) -> str:
        return f"projects/{self._project}/secrets/{name}"

    def _missing(self, name: str) -> Response:
        return newer_error(404, "NOT_FOUND", f"Secret [{self._path(name)}] not found or has no versions.")
