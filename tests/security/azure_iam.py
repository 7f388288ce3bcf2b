"""The actions that Azure's calls need, and an emulator that grants the actions of the documented roles.

Sources: Azure RBAC documentation, "Azure permissions for Compute, Networking, Security (Key Vault), Identity,
Management and governance" (an action's description names its call); Azure Resource Manager, "Track asynchronous
operations" (waiting reads .../operations); Key Vault, "Azure RBAC for Key Vault data plane operations". Retail prices
need no identity.
A PUT of a machine also needs the rights on resources that it joins and creates. A DELETE also needs those on resources
that are deleted with it (deleteOption).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.emulators.azure import LOGIN, PRICES, TOKEN, AzureEmulator, refusal
from tests.emulators.azure_resources import MANAGEMENT
from tests.emulators.azure_vault import RESOURCE as VAULT
from tests.emulators.server import Request, Response
from tests.security.guard import POLICIES, Guarded, Right, Unknown

_COMPUTE, _NETWORK = "Microsoft.Compute", "Microsoft.Network"
_VM, _NIC, _IP = f"{_COMPUTE}/virtualMachines", f"{_NETWORK}/networkInterfaces", f"{_NETWORK}/publicIPAddresses"
_VNET, _SECRETS = f"{_NETWORK}/virtualNetworks", "Microsoft.KeyVault/vaults/secrets"
_IDENTITY, _RIGHTS = "Microsoft.ManagedIdentity/userAssignedIdentities", "Microsoft.Authorization"
_PARTS_GO = [f"{_COMPUTE}/disks/delete", f"{_NIC}/delete", f"{_IP}/delete"]
_MADE = [
    *(f"{part}/write" for part in (f"{_COMPUTE}/disks", _NIC, _IP)),
    f"{_NIC}/join/action",
    f"{_IP}/join/action",
    f"{_VNET}/subnets/join/action",
    f"{_IDENTITY}/assign/action",
]
_S, _G = "/subscriptions/[^/]+", "/subscriptions/[^/]+/resourcegroups/[^/]+"
# (method, path in lower case, actions); the scope of a call is the resource group if its path names one.
_CALLS: list[tuple[str, str, list[str]]] = [
    ("GET", _S, ["Microsoft.Resources/subscriptions/read"]),
    ("GET", f"{_S}/locations", ["Microsoft.Resources/subscriptions/locations/read"]),
    ("GET", f"{_S}/providers/[^/]+", ["Microsoft.Resources/subscriptions/providers/read"]),
    ("GET", f"{_S}/providers/microsoft.compute/skus", [f"{_COMPUTE}/skus/read"]),
    ("GET", f"{_S}/providers/microsoft.compute/locations/[^/]+/usages", [f"{_COMPUTE}/locations/usages/read"]),
    # The emulator has one address for all operations; each provider has its own, see `_waiting`.
    ("GET", f"{_S}/providers/microsoft.compute/locations/[^/]+/operations/[^/]+", []),
    (
        "GET",
        f"{_S}/providers/microsoft.compute/locations/[^/]+/publishers/.+/versions",
        [f"{_COMPUTE}/locations/publishers/artifacttypes/offers/skus/versions/read"],
    ),
    ("GET", f"{_S}/providers/microsoft.authorization/roleassignments", [f"{_RIGHTS}/roleAssignments/read"]),
    ("POST", "/providers/microsoft.resourcegraph/resources", ["Microsoft.ResourceGraph/resources/read"]),
    ("GET", _G, ["Microsoft.Resources/subscriptions/resourceGroups/read"]),
    ("GET", f"{_G}/providers/microsoft.authorization/permissions", [f"{_RIGHTS}/permissions/read"]),
    ("GET", f"({_S}|{_G})/providers/microsoft.compute/virtualmachines(/[^/]+)?", [f"{_VM}/read"]),
    ("PUT", f"{_G}/providers/microsoft.compute/virtualmachines/[^/]+", [f"{_VM}/write", *_MADE]),
    ("DELETE", f"{_G}/providers/microsoft.compute/virtualmachines/[^/]+", [f"{_VM}/delete", *_PARTS_GO]),
    ("POST", f"{_G}/providers/microsoft.compute/virtualmachines/[^/]+/deallocate", [f"{_VM}/deallocate/action"]),
    (
        "POST",
        f"{_G}/providers/microsoft.compute/virtualmachines/[^/]+/simulateeviction",
        [f"{_VM}/simulateEviction/action"],
    ),
    ("GET", f"({_S}|{_G})/providers/microsoft.compute/disks", [f"{_COMPUTE}/disks/read"]),
    ("DELETE", f"{_G}/providers/microsoft.compute/disks/[^/]+", [f"{_COMPUTE}/disks/delete"]),
    ("GET", f"({_S}|{_G})/providers/microsoft.network/networkinterfaces", [f"{_NIC}/read"]),
    ("DELETE", f"{_G}/providers/microsoft.network/networkinterfaces/[^/]+", [f"{_NIC}/delete"]),
    ("GET", f"({_S}|{_G})/providers/microsoft.network/publicipaddresses", [f"{_IP}/read"]),
    ("DELETE", f"{_G}/providers/microsoft.network/publicipaddresses/[^/]+", [f"{_IP}/delete"]),
    ("GET", f"{_G}/providers/microsoft.network/virtualnetworks/[^/]+/subnets/[^/]+", [f"{_VNET}/subnets/read"]),
    ("GET", f"{_G}/providers/microsoft.network/virtualnetworks/[^/]+", [f"{_VNET}/read"]),
    # Its one subnet is in the same body.
    ("PUT", f"{_G}/providers/microsoft.network/virtualnetworks/[^/]+", [f"{_VNET}/write", f"{_VNET}/subnets/write"]),
    ("GET", f"{_G}/providers/microsoft.managedidentity/userassignedidentities/[^/]+", [f"{_IDENTITY}/read"]),
    ("PUT", "/secrets/[^/]+", [f"{_SECRETS}/setSecret/action"]),
    ("GET", "/secrets/?", [f"{_SECRETS}/readMetadata/action"]),
    ("GET", "/secrets/[^/]+/?", [f"{_SECRETS}/getSecret/action"]),
    ("DELETE", "/secrets/[^/]+", [f"{_SECRETS}/delete"]),
    ("GET", "/deletedsecrets/[^/]+", [f"{_SECRETS}/readMetadata/action"]),
    ("DELETE", "/deletedsecrets/[^/]+", [f"{_SECRETS}/purge/action"]),
    ("POST", "/deletedsecrets/[^/]+/recover", [f"{_SECRETS}/recover/action"]),
]


def role(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((POLICIES / f"azure-{name}.json").read_text())
    assert not found["NotActions"]
    assert not found["NotDataActions"]
    return found


def granted(name: str) -> set[str]:
    found = role(name)
    return {*found["Actions"], *found["DataActions"]}


DRILL = "drill"  #: optional, also on the group: docs/drill.md
#: Role files by role and scope, as docs/accounts/azure.md assigns them: subscription, group, vault.
HOLDERS = {
    "launcher": {"subscription": "reader", "group": "launcher", "vault": "launcher-secrets"},
    "machine": {"group": "machine", "vault": "machine-secrets"},
}


class GuardedAzure(Guarded, AzureEmulator):
    """`granted`: actions by file name of the role; tests may change them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.granted = {name: granted(name) for names in HOLDERS.values() for name in names.values()}
        self.granted[DRILL] = granted(DRILL)

    def role_of(self, request: Request) -> str | None:
        if request.path in (PRICES, LOGIN):
            return None
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer == TOKEN:
            return "launcher"
        audience = VAULT if self._scope(request) == "vault" else MANAGEMENT
        return "machine" if bearer and self.resources.machine_with(bearer, audience) else None

    @staticmethod
    def _scope(request: Request) -> str:
        if request.path.startswith(("/secrets", "/deletedsecrets")):
            return "vault"
        return "group" if "/resourcegroups/" in request.path.lower() else "subscription"

    def holder_of(self, role: str, right: Right, request: Request) -> str | None:
        # Rights on the subscription also apply to its groups.
        scopes = {"group": ("group", "subscription")}.get(right.resource, (right.resource,))
        names = [HOLDERS[role].get(scope, "") for scope in scopes]
        if role == "launcher" and right.resource == "group":
            names.append(DRILL)
        return next((name for name in names if right.action in self.granted.get(name, ())), None)

    def deny(self, request: Request, right: Right) -> Response:
        code = "Forbidden" if right.resource == "vault" else "AuthorizationFailed"
        return refusal(403, code, message=f"does not have authorization to perform action '{right.action}'")

    def rights_of(self, request: Request) -> Iterator[Right]:
        path, scope = request.path.lower(), self._scope(request)
        found = next((one for one in _CALLS if request.method == one[0] and re.fullmatch(one[1], path)), None)
        if found is None:
            raise Unknown(f"{request.method} {request.path}")
        yield from (Right(action, scope) for action in found[2])
        if request.query.get("$expand") == "instanceView":
            yield Right(f"{_VM}/instanceView/read", scope)
        if request.method in ("PUT", "DELETE") and scope == "group" and self.role_of(request) == "launcher":
            yield from (Right(action, "subscription") for action in _waiting(path))


def _waiting(path: str) -> list[str]:
    """Return the actions to wait for a long operation at the addresses in its response.

    These are Azure-AsyncOperation and Location, below the subscription. A machine that deletes itself ends before its
    operation does.
    """
    if "/microsoft.network/" in path:
        return [f"{_NETWORK}/locations/operations/read", f"{_NETWORK}/locations/operationResults/read"]
    return [f"{_COMPUTE}/locations/{'diskOperations' if '/disks/' in path else 'operations'}/read"]
