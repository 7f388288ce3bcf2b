"""Resources of an Azure account other than machines, as Resource Manager returns them to `spotwave check`: groups,
providers, networks, quotas, images, identities."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.azure_faults import refusal
from tests.emulators.azure_resources import Resources, resource_id
from tests.emulators.azure_world import SUBSCRIPTION
from tests.emulators.server import Request, Response

ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/spotwave"
IDENTITY = resource_id("spotwave", "Microsoft.ManagedIdentity/userAssignedIdentities", "spotwave-machine")
CLIENT_ID = "00000000-0000-0000-0000-00000000c11e"
_PRINCIPAL = "00000000-0000-0000-0000-00000000beef"


@dataclass
class Settings:
    """State of the account, as `spotwave check` sees it."""

    groups: set[str] = field(default_factory=lambda: {"spotwave"})
    identities: dict[str, str] = field(default_factory=lambda: {IDENTITY.lower(): CLIENT_ID})  #: client id by id
    subnets: set[str] = field(default_factory=set)  #: ids, in lower case
    actions: list[str] = field(default_factory=lambda: ["*"])  #: permissions of the launcher in the resource group
    role_scopes: list[str] = field(default_factory=lambda: [GROUP, f"{GROUP}/providers/Microsoft.KeyVault/vaults/v"])
    providers: dict[str, str] = field(default_factory=dict)  #: registration state; default Registered
    spot_vcpus: dict[str, int] = field(default_factory=dict)  #: quota by region; default 100
    closed: dict[str, str] = field(default_factory=dict)  #: forbidden regions, and the error code
    unready_identity: int = 0  #: number of creations for which the machines' identity is still unknown
    image_skus: set[str] = field(default_factory=lambda: {"server", "server-arm64", "server-gen1"})


class Account:
    """`resources`: machines that use its quotas."""

    def __init__(self, resources: Resources, settings: Settings) -> None:
        self.resources, self.settings = resources, settings
        self._operations: dict[str, Callable[[], dict[str, Any]]] = {}

    def plain(self, request: Request) -> Response:
        """Return the subscription, its groups, providers and locations."""
        path = request.path.lower().removeprefix(ROOT)
        if path == "":
            return answer_of({"id": ROOT, "state": "Enabled"})
        if path == "/locations":
            places = [{"name": one, "metadata": {"regionType": "Physical"}} for one in self.resources.world.regions]
            return answer_of({"value": [*places, {"name": "global", "metadata": {"regionType": "Logical"}}]})
        if path.startswith("/resourcegroups/"):
            name = path.rpartition("/")[2]
            return answer_of({"name": name}) if name in self.settings.groups else refusal(404, "ResourceGroupNotFound")
        if path.startswith("/providers/"):
            name = request.path.rpartition("/")[2]
            return answer_of({"namespace": name, "registrationState": self.settings.providers.get(name, "Registered")})
        return refusal(404, "NotFound")

    def location(self, request: Request, region: str, rest: str) -> Response:
        parts = rest.strip("/").split("/")
        if parts[0].lower() == "operations":
            operation = self._operations.get(parts[1])
            return answer_of(operation()) if operation else refusal(404, "NotFound")
        if parts[0].lower() == "usages":
            limit, used = self.settings.spot_vcpus.get(region, 100), self.resources.vcpus_used(region)
            rows = [("cores", 0, 10), ("lowPriorityCores", used, limit)]
            return answer_of(
                {
                    "value": [
                        {"name": {"value": name}, "currentValue": used, "limit": limit, "unit": "Count"}
                        for name, used, limit in rows
                    ]
                }
            )
        if parts[0].lower() == "publishers":
            sku = parts[parts.index("skus") + 1]
            known = sku in self.settings.image_skus
            return answer_of([{"name": "24.04.202608010", "location": region}]) if known else refusal(404, "NotFound")
        return refusal(404, "NotFound")

    def networks(self, request: Request, group: str, name: str, rest: str) -> Response:
        id_ = resource_id(group, "Microsoft.Network/virtualNetworks", name)
        if request.method == "PUT":
            body = json.loads(request.body)
            for subnet in body["properties"]["subnets"]:
                self.settings.subnets.add(f"{id_}/subnets/{subnet['name']}".lower())
            told = {"id": id_, "name": name, "location": body["location"]}
            return self.long(request, 201, lambda: {"status": "Succeeded"}, told)
        if not rest:
            return answer_of({"id": id_, "name": name})
        there = f"{id_}{rest}".lower() in self.settings.subnets
        return answer_of({"id": f"{id_}{rest}", "name": rest.rpartition("/")[2]}) if there else refusal(404, "NotFound")

    def identity(self, request: Request) -> Response:
        client = self.settings.identities.get(request.path.lower())
        if client is None:
            return refusal(404, "ResourceNotFound")
        return answer_of({"id": request.path, "properties": {"clientId": client, "principalId": _PRINCIPAL}})

    def long(
        self,
        request: Request,
        status: int,
        operation: Callable[[], dict[str, Any]],
        body: dict[str, Any] | None = None,
    ) -> Response:
        id_ = uuid.uuid4().hex
        self._operations[id_] = operation
        where = (
            f"{request.url}{ROOT}/providers/Microsoft.Compute/locations/here/operations/{id_}?api-version=2026-04-01"
        )
        headers = {"Azure-AsyncOperation": where}
        return Response(json.dumps(body).encode() if body else b"", status, headers=headers)


def answer_of(said: Any, status: int = 200) -> Response:
    return Response(json.dumps(said).encode(), status)
