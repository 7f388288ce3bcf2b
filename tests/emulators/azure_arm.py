"""Azure Resource Manager for machines: validation of their PUT, long operations, lists, and calls of `check`."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from typing import Any

from tests.emulators.azure_account import Account, Settings, answer_of
from tests.emulators.azure_faults import refusal
from tests.emulators.azure_refusals import CLOSED, NO_IDENTITY, over_quota
from tests.emulators.azure_resources import MANAGEMENT, Part, Resources, Vm, iso, resource_id
from tests.emulators.server import Request, Response

_RESOURCE = re.compile(
    r"/subscriptions/[^/]+(?:/resourcegroups/(?P<group>[^/]+))?/providers/(?P<type>microsoft\.[a-z]+/[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?P<rest>/.*)?",
    re.IGNORECASE,
)
_KINDS = {
    "microsoft.compute/disks": "disk",
    "microsoft.network/networkinterfaces": "nic",
    "microsoft.network/publicipaddresses": "ip",
}
_TYPES = {
    "disk": "Microsoft.Compute/disks",
    "nic": "Microsoft.Network/networkInterfaces",
    "ip": "Microsoft.Network/publicIPAddresses",
}
EVICTION_NOTICE_S = 30.0


class ResourceManager:
    def __init__(self, resources: Resources, settings: Settings, a_page: int = 50) -> None:
        self.resources, self.settings = resources, settings
        self.a_page = a_page
        self.puts: list[dict[str, Any]] = []  #: every accepted VM body
        self.account = Account(resources, settings)

    def answer(self, request: Request, launcher: bool) -> Response:
        """Answer a request. `launcher`: whether the token is the launcher's; otherwise it may be a machine's."""
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        caller = None if launcher else self.resources.machine_with(bearer, MANAGEMENT)
        if not launcher and caller is None:
            return refusal(401, "InvalidAuthenticationToken")
        found = _RESOURCE.fullmatch(request.path)
        if found is None:
            return self.account.plain(request)
        type_, group, name = found["type"].lower(), (found["group"] or "").lower(), found["name"]
        if group and group not in self.settings.groups:
            return refusal(404, "ResourceGroupNotFound")
        if caller is not None and type_ != "microsoft.compute/virtualmachines":
            return refusal(403, "AuthorizationFailed")
        match type_:
            case "microsoft.compute/virtualmachines":
                return self._machines(request, group, name, found["rest"] or "", by_machine=caller is not None)
            case "microsoft.compute/locations":
                return self.account.location(request, name or "", found["rest"] or "")
            case "microsoft.network/virtualnetworks":
                return self.account.networks(request, group, name or "", found["rest"] or "")
            case "microsoft.managedidentity/userassignedidentities":
                return self.account.identity(request)
            case "microsoft.authorization/permissions":
                return answer_of({"value": [{"actions": self.settings.actions, "notActions": []}]})
            case "microsoft.authorization/roleassignments":
                return answer_of({"value": [{"properties": {"scope": scope}} for scope in self.settings.role_scopes]})
        return self._parts(request, _KINDS[type_], group, name) if type_ in _KINDS else refusal(404, "NotFound")

    # Machines

    def _machines(self, request: Request, group: str, name: str | None, rest: str, *, by_machine: bool) -> Response:
        if name is None:
            return self._list(request)
        id_ = resource_id(group, "Microsoft.Compute/virtualMachines", name).lower()
        vm = self.resources.vms.get(id_)
        if request.method == "PUT" and not by_machine:
            return self._put(request, group, name, vm)
        if request.method == "GET" and vm is not None and not vm.is_seen():  # not yet in this replica
            return refusal(404, "ResourceNotFound")
        if vm is None:
            return Response(b"", 204) if request.method == "DELETE" else refusal(404, "ResourceNotFound")
        if request.method == "DELETE":
            return self._delete(request, vm, by_machine)
        if request.method == "POST" and rest == "/deallocate":
            return self._deallocate(request, vm)
        if request.method == "POST" and rest == "/simulateEviction":
            return self._evict(vm, by_machine)
        return answer_of(_told(vm, request.query.get("$expand") == "instanceView"))

    def _list(self, request: Request) -> Response:
        """Return the list as the real service does: group names in upper case, in pages, without power states."""
        with self.resources.lock:
            rows = [_told(vm, expand=False) for vm in self.resources.vms.values()]
        for row in rows:
            row["id"] = re.sub(r"(?<=/resourceGroups/)[^/]+", lambda found: found[0].upper(), row["id"])
        return self._paged(request, rows)

    def _paged(self, request: Request, rows: list[dict[str, Any]]) -> Response:
        start, size = int(request.query.get("$skiptoken", "0")), self.a_page
        page: dict[str, Any] = {"value": rows[start : start + size]}
        if start + size < len(rows):
            version = request.query["api-version"]
            page["nextLink"] = f"{request.url}{request.path}?api-version={version}&$skiptoken={start + size}"
        return answer_of(page)

    def _put(self, request: Request, group: str, name: str, there: Vm | None) -> Response:
        if there is not None:
            if request.headers.get("if-none-match") == "*":
                return refusal(412, "PreconditionFailed")
            return refusal(409, "PropertyChangeNotAllowed")
        body = json.loads(request.body)
        if (wrong := self._wrong(name, body)) is not None:
            return wrong
        self.puts.append(body)
        self.resources.clients = self.settings.identities
        vm = self.resources.create(group, name, body)
        creating = _told(vm, expand=False)
        creating["properties"]["provisioningState"] = "Creating"
        vm.provisioning = "Failed" if vm.failure else "Succeeded"  # by the time of the next call

        def status() -> dict[str, Any]:
            if vm.failure:
                return {"status": "Failed", "error": {"code": vm.failure, "message": "No room"}}
            return {"status": "Succeeded"}

        return self.account.long(request, 201, status, creating)

    def _wrong(self, name: str, body: dict[str, Any]) -> Response | None:
        """Return the error for a body that the real service would reject."""
        properties, region = body["properties"], body["location"]
        size, zones = properties["hardwareProfile"]["vmSize"], list(body.get("zones") or [])
        sku = self.resources.sku(size, region)
        if len(name) > 64 or len(body["tags"]) > 50 or any(len(value) > 256 for value in body["tags"].values()):
            return refusal(400, "InvalidParameter", "name or tags")
        if region in self.settings.closed:
            code = self.settings.closed[region]
            return refusal(403, code, CLOSED[code].format(name))
        self.settings.unready_identity -= 1
        for identity in body.get("identity", {}).get("userAssignedIdentities", {}):
            if self.settings.unready_identity >= 0:
                return refusal(400, "FailedIdentityOperation", NO_IDENTITY.format(identity))
            if identity.lower() not in self.settings.identities:
                return refusal(400, "FailedIdentityOperation")
        if sku is None or not set(zones) <= set(sku["zones"]):
            return refusal(409, "SkuNotAvailable")
        if properties.get("priority") == "Spot" and sku.get("LowPriorityCapable") == "False":
            return refusal(409, "AzureSpotIsNotSupportedForThisVMSize")
        if (wrong := _wrong_system(properties["osProfile"])) is not None:
            return wrong
        image = properties["storageProfile"]["imageReference"].get("sku")
        if image is not None and ("arm64" in image) != (sku.get("CpuArchitectureType") == "Arm64"):
            return refusal(400, "BadRequest", f"Cannot create a VM of size '{size}': its CPU Architecture 'Arm64'")
        for interface in properties["networkProfile"]["networkInterfaceConfigurations"]:
            for configuration in interface["properties"]["ipConfigurations"]:
                if configuration["properties"]["subnet"]["id"].lower() not in self.settings.subnets:
                    return refusal(400, "InvalidResourceReference")
        left = self.settings.spot_vcpus.get(region, 100) - self.resources.vcpus_used(region)
        if int(sku["vCPUs"]) > left:
            limit = self.settings.spot_vcpus.get(region, 100)
            return refusal(409, "OperationNotAllowed", over_quota(region, limit, limit - left, int(sku["vCPUs"])))
        return None

    def _delete(self, request: Request, vm: Vm, by_machine: bool) -> Response:
        vm.provisioning = "Deleting"
        work = threading.Thread(target=self.resources.delete, args=[vm], daemon=True)
        work.start()
        if not by_machine:  # a machine would wait for its own termination
            work.join(30)
        return self.account.long(request, 202, lambda: {"status": "InProgress" if work.is_alive() else "Succeeded"})

    def _deallocate(self, request: Request, vm: Vm) -> Response:
        work = threading.Thread(target=self.resources.deallocate, args=[vm], daemon=True)
        work.start()
        return self.account.long(request, 202, lambda: {"status": "InProgress" if work.is_alive() else "Succeeded"})

    def _evict(self, vm: Vm, by_machine: bool) -> Response:
        """Evict the VM at once, with the shortest real notice; the real service takes up to half an hour."""
        if by_machine:
            return refusal(403, "AuthorizationFailed")
        if vm.body["properties"].get("priority") != "Spot":
            return refusal(409, "OperationNotAllowed", "The VM is no spot VM")
        self.resources.interrupt(vm.id, EVICTION_NOTICE_S)
        return Response(b"", 204)

    # Other resources

    def _parts(self, request: Request, kind: str, group: str, name: str | None) -> Response:
        if name is None:
            with self.resources.lock:
                found = [part for part in self.resources.parts.values() if part.kind == kind]
            rows = [_row(part) for part in found if not group or f"/{group}/" in part.id]
            return self._paged(request, rows)
        id_ = resource_id(group, _TYPES[kind], name).lower()
        if request.method != "DELETE":
            part = self.resources.parts.get(id_)
            return answer_of(_row(part)) if part else refusal(404, "ResourceNotFound")
        if id_ not in self.resources.parts:
            return Response(b"", 204)
        if not self.resources.delete_part(id_):
            return refusal(409, "OperationNotAllowed", "It is in use.")
        return self.account.long(request, 202, lambda: {"status": "Succeeded"})


def _wrong_system(system: dict[str, Any]) -> Response | None:
    if not system.get("linuxConfiguration", {}).get("ssh", {}).get("publicKeys") and not system.get("adminPassword"):
        return refusal(400, "InvalidParameter", "Authentication using either SSH or by user name and password")
    try:
        user_data = base64.b64decode(system.get("customData", ""), validate=True)
    except binascii.Error:
        return refusal(400, "InvalidParameter", "Custom data in OSProfile must be in Base64 encoding")
    return refusal(400, "InvalidParameter", "Custom data is too large") if len(user_data) > 65535 else None


def _told(vm: Vm, expand: bool) -> dict[str, Any]:
    """Return a VM as the service shows it, which never includes custom data."""
    system = {key: value for key, value in vm.body["properties"]["osProfile"].items() if key != "customData"}
    properties = {
        **vm.body["properties"],
        "osProfile": system,
        "provisioningState": vm.provisioning,
        "timeCreated": iso(vm.launched_at),
    }
    if expand:
        outcome = f"ProvisioningState/{vm.provisioning.lower()}" + (f"/{vm.failure}" if vm.failure else "")
        codes = [outcome] + ([f"PowerState/{vm.power}"] if vm.power else [])
        properties["instanceView"] = {"statuses": [{"code": code, "level": "Info"} for code in codes]}
    return {
        **vm.body,
        "tags": vm.tags,
        "id": resource_id(vm.group, "Microsoft.Compute/virtualMachines", vm.name),
        "name": vm.name,
        "type": "Microsoft.Compute/virtualMachines",
        "properties": properties,
    }


def _row(part: Part) -> dict[str, Any]:
    row: dict[str, Any] = {"id": part.id, "name": part.id.rpartition("/")[2], "location": part.location}
    row["tags"] = part.tags
    if part.zones:
        row["zones"] = part.zones
    match part.kind:
        case "disk":
            row |= {"managedBy": part.user} if part.user else {}
            row["properties"] = {"timeCreated": iso(part.born)}
        case "nic":
            row["properties"] = {"virtualMachine": {"id": part.user}} if part.user else {}
        case "ip":
            row["properties"] = {"ipConfiguration": {"id": f"{part.user}/ipConfigurations/ip"}} if part.user else {}
    return row
