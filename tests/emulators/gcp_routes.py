"""Calls of the emulated Google by method and path."""

from __future__ import annotations

import re

from tests.emulators.server import Request

MACHINE_TYPES, SKUS, HISTORY = "machineTypes", "skus", "capacityHistory"
INSERT, BULK_INSERT, GET, DELETE, INSTANCES, DISKS, DELETE_DISK = (
    "insert",
    "bulkInsert",
    "get",
    "delete",
    "instances",
    "disks",
    "deleteDisk",
)
SIMULATE = "simulateMaintenanceEvent"
WAIT, OPERATIONS = "wait", "operations"
PROJECT, REGIONS, NETWORK, IMAGE = "project", "regions", "network", "image"
CREATE_SECRET, LIST_SECRETS, ADD_VERSION = "createSecret", "listSecrets", "addVersion"
ACCESS, DELETE_SECRET = "access", "deleteSecret"
PERMISSIONS, ACCOUNT_PERMISSIONS = "permissions", "accountPermissions"

_PROJECT = r"/compute/v1/projects/(?P<project>[^/]+)"
_ZONE = rf"{_PROJECT}/zones/(?P<zone>[^/]+)"
_SECRETS = r"/v1/projects/(?P<project>[^/]+)/secrets"
ROUTES: list[tuple[str, str, str]] = [
    ("GET", f"{_PROJECT}/aggregated/machineTypes", MACHINE_TYPES),
    ("POST", f"{_PROJECT}/regions/(?P<region>[^/]+)/advice/capacityHistory", HISTORY),
    ("GET", r"/v1/services/6F81-5844-456A/skus", SKUS),
    ("POST", f"{_ZONE}/instances", INSERT),
    ("POST", f"{_ZONE}/instances/bulkInsert", BULK_INSERT),
    ("GET", f"{_ZONE}/instances/(?P<name>[^/]+)", GET),
    ("DELETE", f"{_ZONE}/instances/(?P<name>[^/]+)", DELETE),
    ("POST", f"{_ZONE}/instances/(?P<name>[^/]+)/simulateMaintenanceEvent", SIMULATE),
    ("GET", f"{_PROJECT}/aggregated/instances", INSTANCES),
    ("GET", f"{_PROJECT}/aggregated/disks", DISKS),
    ("DELETE", f"{_ZONE}/disks/(?P<name>[^/]+)", DELETE_DISK),
    ("POST", f"{_ZONE}/operations/(?P<name>[^/]+)/wait", WAIT),
    ("GET", f"{_ZONE}/operations", OPERATIONS),
    ("GET", _PROJECT, PROJECT),
    ("GET", f"{_PROJECT}/regions", REGIONS),
    ("GET", f"{_PROJECT}/global/networks/(?P<name>[^/]+)", NETWORK),
    ("GET", r"/compute/v1/projects/(?P<name>[^/]+/global/images/.+)", IMAGE),
    ("POST", f"{_SECRETS}", CREATE_SECRET),
    ("GET", f"{_SECRETS}", LIST_SECRETS),
    ("POST", f"{_SECRETS}/(?P<name>[^/]+):addVersion", ADD_VERSION),
    ("GET", f"{_SECRETS}/(?P<name>[^/]+)/versions/latest:access", ACCESS),
    ("DELETE", f"{_SECRETS}/(?P<name>[^/]+)", DELETE_SECRET),
    ("POST", r"/v1/projects/(?P<project>[^/:]+):testIamPermissions", PERMISSIONS),
    ("POST", r"/v1/projects/-/serviceAccounts/(?P<name>[^/:]+):testIamPermissions", ACCOUNT_PERMISSIONS),
]
FOR_MACHINES = {ACCESS, DELETE}  # allowed by their role
SERVICES = {
    **dict.fromkeys((CREATE_SECRET, LIST_SECRETS, ADD_VERSION, ACCESS, DELETE_SECRET), "secretmanager"),
    SKUS: "cloudbilling",
    PERMISSIONS: "cloudresourcemanager",
    ACCOUNT_PERMISSIONS: "iam",
}


def route(request: Request) -> tuple[str, dict[str, str]]:
    for method, path, kind in ROUTES:
        found = re.fullmatch(path, request.path)
        if found and request.method == method:
            return kind, found.groupdict()
    return f"{request.method} {request.path}", {}
