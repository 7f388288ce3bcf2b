"""Immediate errors of Compute Engine for the body of an instance."""

from __future__ import annotations

import re
from typing import Any

from tests.emulators.gcp_answers import error, resource
from tests.emulators.gcp_world import World
from tests.emulators.server import Response

IMAGES = {
    "ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64": "X86_64",
    "ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64": "ARM64",
    "debian-cloud/global/images/family/debian-12": "X86_64",
    "debian-cloud/global/images/family/debian-12-arm64": "ARM64",
    "spotwave-test/global/images/baked": "X86_64",
    "spotwave-test/global/images/family/baked-arm64": "ARM64",
}
NETWORKS = ("default",)
_HYPERDISK_ALONE = re.compile(r"(n4|c4|m4|h4d|x4)")
_ARM = ("t2a", "c4a", "n4a")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_IP_POLICY = "constraints/compute.vmExternalIpAccess"


def complaint(world: World, zone: str, body: dict[str, Any]) -> Response | None:
    """Return the error for a body, or None if it is accepted."""
    if zone not in world.zones:
        return error(404, "notFound", f"The resource 'projects/{world.project}/zones/{zone}' was not found")
    if zone.rpartition("-")[0] in world.closed:
        # As reported in GoogleCloudPlatform/oss-test-infra#2703; Resource Manager, "Restricting resource locations".
        where = resource(world.project, zone, "instances", body.get("name", ""))
        text = f"Location ZONE:{zone} violates constraint constraints/gcp.resourceLocations on the resource {where}."
        return error(412, "conditionNotMet", text)
    if not _NAME.fullmatch(body.get("name", "")):
        return _invalid("resource.name")
    machine_type = body["machineType"].rpartition("/")[2]
    if all(row["name"] != machine_type for row in world.zones[zone]):
        # As reported by users, e.g. in GoogleCloudPlatform/bank-of-anthos#1234.
        where = resource(world.project, zone, "machineTypes", machine_type)
        text = f"'{where}'. Machine type with name '{machine_type}' does not exist in zone '{zone}'."
        return error(400, "invalid", f"Invalid value for field 'resource.machineType': {text}")
    disk = body["disks"][0]["initializeParams"]
    labels = {**body.get("labels", {}), **disk.get("labels", {})}
    if not all(_LABEL.fullmatch(text) for pair in labels.items() for text in pair):
        return _invalid("resource.labels")
    return (
        _about_the_schedule(body.get("scheduling", {}))
        or _about_the_disk(machine_type, disk)
        or _about_the_network(world, body)
        or _about_the_metadata(body.get("metadata", {}).get("items", []))
    )


def _about_the_schedule(schedule: dict[str, Any]) -> Response | None:
    spot = schedule.get("provisioningModel") == "SPOT"
    if spot and (schedule.get("onHostMaintenance") != "TERMINATE" or schedule.get("automaticRestart") is not False):
        return error(400, "invalid", "Scheduling must have automaticRestart off and onHostMaintenance TERMINATE")
    if "terminationTime" in schedule and "maxRunDuration" in schedule:
        return error(400, "invalid", "You can only set one of maxRunDuration and terminationTime")
    return None


def _about_the_disk(machine_type: str, disk: dict[str, Any]) -> Response | None:
    kind = disk["diskType"].rpartition("/")[2]
    if bool(_HYPERDISK_ALONE.match(machine_type)) != kind.startswith("hyperdisk") and not machine_type.startswith(
        "c3-"
    ):
        text = f"[{kind}, {machine_type}] features are not compatible for creating instance."
        return error(400, "invalid", text)
    image = disk["sourceImage"].removeprefix("projects/")
    if image not in IMAGES:
        return error(404, "notFound", f"The resource 'projects/{image}' was not found")
    if (IMAGES[image] == "ARM64") != machine_type.startswith(_ARM):
        return error(400, "invalid", "The architecture of the image is not the one of the machine type")
    if int(disk["diskSizeGb"]) < 10:
        return error(400, "invalid", "Requested disk size cannot be smaller than the image size (10 GB)")
    return None


def _about_the_network(world: World, body: dict[str, Any]) -> Response | None:
    interface = body["networkInterfaces"][0]
    network = interface.get("network", "").rpartition("/")[2]
    if "subnetwork" not in interface and network not in NETWORKS:
        where = f"projects/{world.project}/global/networks/{network}"
        return error(404, "notFound", f"The resource '{where}' was not found")
    for account in body.get("serviceAccounts", []):
        if account["email"] not in ("default", world.machine_account):
            where = f"projects/{world.project}/serviceAccounts/{account['email']}"
            return error(400, "invalidParameter", f"The resource '{where}' of type 'serviceAccount' was not found.")
    if world.no_external_ip and interface.get("accessConfigs"):
        return error(412, "conditionNotMet", f"Constraint {_IP_POLICY} violated for project {world.project}.")
    return None


def _about_the_metadata(items: list[dict[str, str]]) -> Response | None:
    """Check the sizes. Compute Engine documentation, "About VM metadata": 256 KB per value, 512 KB in all."""
    sizes = [len(item["value"].encode()) for item in items]
    if max(sizes, default=0) > 256 << 10 or sum(sizes) > 512 << 10:
        return error(413, "uploadTooLarge", "Value for field 'resource.metadata.items' is too large")
    return None


def _invalid(field: str) -> Response:
    return error(400, "invalid", f"Invalid value for field '{field}'")
