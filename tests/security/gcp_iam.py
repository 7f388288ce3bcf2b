"""The permissions that Google's calls need, and an emulator that grants the permissions of the documented roles.

Sources: Compute Engine, REST reference, "IAM permissions" of each method, and "Create a VM that uses a user-managed
service account" / "Create and start a VM instance", required permissions of instances.insert; Compute Engine, "View VM
availability" (capacityHistory); Secret Manager, "Access control with IAM"; Resource Manager and IAM API,
testIamPermissions, which needs none. Public images need no permission, only images of the own project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.emulators import gcp_routes as at
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_account import is_launcher
from tests.emulators.gcp_answers import error
from tests.emulators.server import Request, Response
from tests.security.guard import POLICIES, Guarded, Right, Unknown

DOCS = POLICIES.parents[1] / "docs/accounts/gcp.md"
ACT_AS = "iam.serviceAccounts.actAs"  #: granted by roles/iam.serviceAccountUser on the machines' account only
# Permissions on the project, not on a resource in it.
_PLAIN = {
    at.MACHINE_TYPES: "compute.machineTypes.list",
    at.HISTORY: "compute.advice.capacityHistory",
    at.INSTANCES: "compute.instances.list",
    at.DISKS: "compute.disks.list",
    at.WAIT: "compute.zoneOperations.get",
    at.OPERATIONS: "compute.zoneOperations.list",
    at.PROJECT: "compute.projects.get",
    at.REGIONS: "compute.regions.list",
    at.NETWORK: "compute.networks.get",
    at.CREATE_SECRET: "secretmanager.secrets.create",
    at.LIST_SECRETS: "secretmanager.secrets.list",
}
_OF_ONE = {
    at.GET: ("compute.instances.get", "projects/{project}/zones/{zone}/instances/{name}"),
    at.DELETE: ("compute.instances.delete", "projects/{project}/zones/{zone}/instances/{name}"),
    at.SIMULATE: ("compute.instances.simulateMaintenanceEvent", "projects/{project}/zones/{zone}/instances/{name}"),
    at.DELETE_DISK: ("compute.disks.delete", "projects/{project}/zones/{zone}/disks/{name}"),
    at.ADD_VERSION: ("secretmanager.versions.add", "projects/{project}/secrets/{name}"),
    at.ACCESS: ("secretmanager.versions.access", "projects/{project}/secrets/{name}/versions/latest"),
    at.DELETE_SECRET: ("secretmanager.secrets.delete", "projects/{project}/secrets/{name}"),
}
_FOR_EVERYBODY = {at.SKUS, at.PERMISSIONS, at.ACCOUNT_PERMISSIONS}


def permissions(role: str) -> set[str]:
    found: list[str] = yaml.safe_load((POLICIES / f"gcp-{role}.yaml").read_text())["includedPermissions"]
    assert len(found) == len(set(found))
    return set(found)


def beside() -> set[str]:
    """Return the permissions that docs/accounts/gcp.md grants the launcher in addition to its role."""
    granted = re.search(r"add-iam-policy-binding \$M --member serviceAccount:\$L --role (\S+)", DOCS.read_text())
    assert granted is not None
    assert granted[1] == "roles/iam.serviceAccountUser"
    return {ACT_AS}


def condition_of_machines(resource: str) -> bool:
    """Evaluate the condition of docs/accounts/gcp.md on the machines' role, which has two kinds of terms."""
    text = re.search(r"expression: >-\n(.*?)\nEOF", DOCS.read_text(), re.DOTALL)
    assert text is not None
    terms = [term.strip() for term in text[1].split("||")]
    starts, extracts = (re.fullmatch(pattern, term) for pattern, term in zip((
        r'resource\.name\.startsWith\("projects/\$N/([^"]+)"\)',
        r'resource\.name\.extract\("(/[a-z]+/)\{name\}"\)\.startsWith\("([^"]+)"\)',
    ), terms, strict=True))  # fmt: skip
    assert starts is not None
    assert extracts is not None
    _, _, of_project = resource.partition("/")[2].partition("/")
    return of_project.startswith(starts[1]) or resource.partition(extracts[1])[2].startswith(extracts[2])


class GuardedGcp(Guarded, GcpEmulator):
    """`granted`: permissions by role; tests may change them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.granted = {
            "launcher": permissions("launcher"),
            "beside": beside(),
            "drill": permissions("drill"),
            "machine": permissions("machine"),
        }

    def role_of(self, request: Request) -> str | None:
        kind = at.route(request)[0]
        if is_launcher(request, at.SERVICES.get(kind, "compute")):
            return "launcher"
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return "machine" if self.compute.living(token) else None

    def holder_of(self, role: str, right: Right, request: Request) -> str | None:
        if role == "machine" and not condition_of_machines(right.resource):
            return None
        holders = ("launcher", "beside", "drill") if role == "launcher" else ("machine",)
        return next((holder for holder in holders if right.action in self.granted[holder]), None)

    def deny(self, request: Request, right: Right) -> Response:
        return error(403, "forbidden", f"Required '{right.action}' permission for '{right.resource}'")

    def rights_of(self, request: Request) -> Iterator[Right]:
        kind, found = at.route(request)
        if kind in _FOR_EVERYBODY:
            return
        project = f"projects/{found.get('project', '')}"
        if kind in _PLAIN:
            yield Right(_PLAIN[kind], project)
        elif kind in _OF_ONE:
            action, resource = _OF_ONE[kind]
            yield Right(action, resource.format(**found))
        elif kind == at.INSERT:
            yield from self._of_an_insert(project, json.loads(request.body))
        elif kind == at.BULK_INSERT:  # the same permissions (Compute Engine, "Create VMs in bulk")
            yield from self._of_an_insert(project, json.loads(request.body)["instanceProperties"])
        elif kind == at.IMAGE:
            if self._is_own(found["name"]):
                yield Right("compute.images.getFromFamily" if "/family/" in found["name"] else "compute.images.get")
        else:
            raise Unknown(kind)

    def _is_own(self, image: str) -> bool:
        return image.removeprefix("projects/").startswith(f"{self.world.project}/")

    def _of_an_insert(self, project: str, body: dict[str, Any]) -> Iterator[Right]:
        yield Right("compute.instances.create", project)
        yield Right("compute.disks.create", project)
        yield Right("compute.subnetworks.use", project)
        if any(interface.get("accessConfigs") for interface in body["networkInterfaces"]):
            yield Right("compute.subnetworks.useExternalIp", project)
        if body.get("labels"):
            yield Right("compute.instances.setLabels", project)
        if body.get("metadata", {}).get("items"):
            yield Right("compute.instances.setMetadata", project)
        for account in body.get("serviceAccounts", []):
            yield Right("compute.instances.setServiceAccount", project)
            yield Right(ACT_AS, account["email"])
        for disk in body["disks"]:
            made = disk["initializeParams"]
            if made.get("labels"):
                yield Right("compute.disks.setLabels", project)
            if self._is_own(made["sourceImage"]):
                yield Right("compute.images.useReadOnly", project)
