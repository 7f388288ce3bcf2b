"""A Key Vault with token challenge, versions, soft delete and purge."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.azure_faults import refusal
from tests.emulators.ledger import Ledger
from tests.emulators.server import Request, Response

RESOURCE = "https://vault.azure.net"
_CHALLENGE = {
    "WWW-Authenticate": 'Bearer authorization="https://login.microsoftonline.com/'
    f'00000000-0000-0000-0000-000000000002", resource="{RESOURCE}"'
}


@dataclass
class Secret:
    value: str
    tags: dict[str, str]
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))


class KeyVault:
    """`may_read`: whether another token than the launcher's may read secrets."""

    def __init__(self, ledger: Ledger, may_read: Callable[[str], bool]) -> None:
        self.living: dict[str, Secret] = {}
        self.deleted: dict[str, Secret] = {}
        self.may_purge = True  #: False: purge protection
        self._ledger = ledger
        self._may_read = may_read

    def answer(self, request: Request, launcher: bool) -> Response:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not launcher:
            if not (bearer and self._may_read(bearer)):
                return Response(b'{"error":{"code":"Unauthorized","message":"AKV10000"}}', 401, headers=_CHALLENGE)
            if request.method != "GET" or not request.path.startswith("/secrets/"):
                return refusal(403, "Forbidden")
        if "api-version" not in request.query:
            return refusal(400, "BadParameter")
        _, collection, *names = request.path.rstrip("/").split("/")
        name = names[0] if names else ""
        if collection == "deletedsecrets":
            return self._deleted(request, name)
        if not name:
            return _json({"value": [self._told(request, one, with_value=False) for one in self.living]})
        return {"PUT": self._set, "GET": self._get, "DELETE": self._delete}[request.method](request, name)

    def _set(self, request: Request, name: str) -> Response:
        if name in self.deleted:
            return refusal(409, "Conflict", f"Secret {name} is currently in a deleted but recoverable state")
        told = json.loads(request.body)
        if len(told["value"].encode()) > 25_600:
            return refusal(400, "BadParameter")
        if name not in self.living:
            self._ledger.open("secret", name)
        self.living[name] = Secret(told["value"], told.get("tags") or {})
        return self._get(request, name)

    def _get(self, request: Request, name: str) -> Response:
        if name not in self.living:
            return refusal(404, "SecretNotFound")
        return _json(self._told(request, name))

    def _delete(self, request: Request, name: str) -> Response:
        if name not in self.living:
            return refusal(404, "SecretNotFound")
        said = self._told(request, name, with_value=False) | {"recoveryId": f"{request.url}/deletedsecrets/{name}"}
        self.deleted[name] = self.living.pop(name)
        self._ledger.close("secret", name)
        return _json(said)

    def _deleted(self, request: Request, name: str) -> Response:
        if name not in self.deleted:
            return refusal(404, "SecretNotFound")
        if request.method == "POST":
            self.living[name] = self.deleted.pop(name)
            self._ledger.open("secret", name)
        elif request.method == "DELETE":
            if not self.may_purge:
                return refusal(403, "Forbidden", "purge protection")
            del self.deleted[name]
            return Response(b"", 204)
        return _json({"id": f"{request.url}/secrets/{name}/1", "recoveryId": f"{request.url}/deletedsecrets/{name}"})

    def _told(self, request: Request, name: str, with_value: bool = True) -> dict[str, Any]:
        secret = self.living[name]
        return {
            **({"value": secret.value} if with_value else {}),
            "id": f"{request.url}/secrets/{name}" + (f"/{secret.version}" if with_value else ""),
            "attributes": {"enabled": True, "created": secret.created, "updated": secret.created},
            "tags": secret.tags,
        }


def _json(said: Any) -> Response:
    return Response(json.dumps(said).encode())
