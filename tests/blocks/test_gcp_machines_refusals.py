"""Every refusal of Compute Engine is mapped to the exception that tells what to skip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spotwave.blocks.errors import (
    Capacity,
    Closed,
    LaunchRefused,
    Misconfigured,
    Quota,
    Throttled,
    Unclear,
    Unfit,
)
from spotwave.blocks.gcp.block import GcpCloud
from tests.blocks.machine_kit import brief
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import error, newer_error
from tests.emulators.gcp_cloud import cloud_at, offer
from tests.emulators.gcp_life import Broken
from tests.emulators.server import Response

A, B = "us-central1-a", "us-central1-b"
_QUOTA = "Quota '{}' exceeded.  Limit: 24.0 {}."
_DISABLED = "Secret Manager API has not been used in project 1 before or it is disabled."
_ACTS = "The user does not have access to service account 'x'. Ask a project owner to grant iam.serviceAccountUser"


@pytest.fixture
def cloud(google: GcpEmulator) -> GcpCloud:
    return cloud_at(google.url)


def _refused(cloud: GcpCloud, **of: Any) -> LaunchRefused:
    with pytest.raises(LaunchRefused) as caught:
        cloud.launch(offer(**of), brief())
    refused = caught.value
    assert "\n" not in refused.reason
    assert "The message of the service" not in refused.reason
    return refused


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "", Capacity),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "", Capacity),
        ("RESOURCE_POOL_EXHAUSTED", "", Capacity),
        ("GPU_STOCKOUT", "", Capacity),
        ("UNSUPPORTED_OPERATION", "Instance was preempted during creation", Capacity),
        ("RESOURCE_NOT_FOUND", "The resource 'projects/p/zones/z/machineTypes/n9' was not found", Capacity),
        ("IP_SPACE_EXHAUSTED_WITH_DETAILS", "", Quota),
        ("QUOTA_EXCEEDED", _QUOTA.format("PREEMPTIBLE_CPUS", "in region us-central1"), Quota),
        ("RATE_LIMIT_EXCEEDED", "", Throttled),  # the token is used up and must not be repeated
        ("CONDITION_NOT_MET", "Constraint constraints/compute.vmExternalIpAccess violated", Misconfigured),
        ("PERMISSIONS_ERROR", "Required 'compute.images.useReadOnly' permission", Misconfigured),
        ("RESOURCE_NOT_FOUND", "The resource 'projects/p/global/images/x' was not found", Misconfigured),
        ("INVALID_FIELD_VALUE", "[pd-balanced, n4-standard-2] features are not compatible", Unfit),
        ("SOMETHING_NEW", "The message of the service", Unclear),
        ("INTERNAL_ERROR", "The message of the service", Unclear),
    ],
)
def test_errors_of_the_operation_become_refusals(
    google: GcpEmulator, cloud: GcpCloud, code: str, message: str, kind: type[LaunchRefused]
) -> None:
    google.break_insert(code, message)
    refused = _refused(cloud)
    assert type(refused) is kind
    assert code in refused.reason
    assert set(google.left()) <= {"secret"}
    assert google.count(gcp.INSERT) == 1, "a permanent refusal is not retried"


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (403, "quotaExceeded", _QUOTA.format("CPUS", "in region us-central1"), Quota),
        (403, "rateLimitExceeded", "", Throttled),
        (429, "rateLimitExceeded", "", Throttled),
        (403, "forbidden", "Required 'compute.instances.create' permission", Misconfigured),
        (403, "forbidden", _DISABLED, Misconfigured),
        (403, "forbidden", _ACTS, Misconfigured),
        (401, "authError", "", Misconfigured),
        (404, "notFound", "The resource 'projects/p/zones/z/machineTypes/n9' was not found", Capacity),
        (404, "notFound", "The resource 'projects/p/zones/z' was not found", Capacity),
        (404, "notFound", "The resource 'projects/p/global/networks/x' was not found", Misconfigured),
        (404, "notFound", "The resource 'projects/p' was not found", Misconfigured),
        (400, "invalid", "[pd-standard, n4-standard-16] features are not compatible for creating instance", Unfit),
        (400, "invalid", "Requested disk size cannot be smaller than the image size (10 GB)", Misconfigured),
        (400, "invalid", "Invalid value for field 'resource.scheduling.terminationTime'", Misconfigured),
        (400, "invalid", "The message of the service", Misconfigured),
        (412, "conditionNotMet", "Constraint violated", Misconfigured),
        (412, "conditionNotMet", "Location ZONE:x violates constraint constraints/gcp.resourceLocations on y", Closed),
        (400, "invalid", "Machine type with name 'c4-standard-2' does not exist in zone 'us-central1-a'.", Capacity),
        (418, "teapot", "The message of the service", Unclear),
    ],
)
def test_errors_of_the_answer_become_refusals(
    google: GcpEmulator, cloud: GcpCloud, status: int, reason: str, message: str, kind: type[LaunchRefused]
) -> None:
    google.refuse(gcp.INSERT, error(status, reason, message))
    refused = _refused(cloud)
    assert type(refused) is kind
    assert set(google.left()) <= {"secret"}
    assert google.count(gcp.INSERT) == 1


@pytest.mark.parametrize(
    ("metric", "where", "scope"),
    [
        ("PREEMPTIBLE_CPUS", "in region us-central1", "region"),
        ("IN_USE_ADDRESSES", "in region us-central1", "region"),
        ("CPUS_ALL_REGIONS", "globally", "cloud"),
        ("GPUS_ALL_REGIONS", "globally", "cloud"),
    ],
)
@pytest.mark.parametrize("way", ["answer", "operation"])
def test_scope_of_a_quota(google: GcpEmulator, cloud: GcpCloud, metric: str, where: str, scope: str, way: str) -> None:
    if way == "answer":
        google.refuse(gcp.INSERT, error(403, "quotaExceeded", _QUOTA.format(metric, where)))
    else:
        google.break_insert("QUOTA_EXCEEDED", _QUOTA.format(metric, where))
    refused = _refused(cloud)
    assert isinstance(refused, Quota)
    assert refused.reach == scope
    assert metric in refused.reason


@pytest.mark.parametrize(
    ("metric", "dimensions", "quota"),
    [
        ("n2_cpus", {"region": "us-central1"}, "N2_CPUS"),
        ("cpus_per_vm_family", {"region": "us-central1", "vm_family": "C4D"}, "CPUS_PER_VM_FAMILY C4D"),
        ("cpus_all_regions", {}, "CPUS_ALL_REGIONS"),
    ],
)
def test_quota_is_read_from_metric_and_dimensions(
    google: GcpEmulator, cloud: GcpCloud, metric: str, dimensions: dict[str, str], quota: str
) -> None:
    where = "in region us-central1" if dimensions else "globally"
    info = {"metricName": f"compute.googleapis.com/{metric}", "limitName": "x", "dimensions": dimensions, "limit": 8}
    message = f"Quota '{metric.upper()}' exceeded.  Limit: 8.0 {where}."
    google.compute.broken.append(Broken("QUOTA_EXCEEDED", message, status=403, details=[{"quotaInfo": info}]))
    refused = _refused(cloud)
    assert isinstance(refused, Quota)
    assert (refused.quota, refused.left) == (quota, 8.0)
    assert refused.reach == ("region" if dimensions else "cloud")


def test_quota_without_a_family_applies_to_the_types_family(google: GcpEmulator, cloud: GcpCloud) -> None:
    google.refuse(gcp.INSERT, error(403, "quotaExceeded", _QUOTA.format("CPUS_PER_VM_FAMILY", "in region us-central1")))
    assert _refused(cloud, instance_type="c4d-standard-8").quota == "CPUS_PER_VM_FAMILY C4D"


def test_type_missing_in_one_zone_does_not_affect_others(google: GcpEmulator, cloud: GcpCloud) -> None:
    google.world.zones[A] = [row for row in google.world.zones[A] if row["name"] != "n2-standard-4"]
    assert isinstance(_refused(cloud), Capacity)
    assert cloud.launch(offer(zone=B), brief())[0].zone == B


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"network": "nowhere"}, "network:"),
        ({"image": "projects/spotwave-test/global/images/gone"}, "image:"),
        ({"service_account": "nobody@spotwave-test.iam.gserviceaccount.com"}, "service_account:"),
        ({"project": "another"}, "project"),
    ],
)
def test_wrong_setting_is_reported_with_its_remedy(google: GcpEmulator, fields: dict[str, str], remedy: str) -> None:
    refused = _refused(cloud_at(google.url, **fields))
    assert isinstance(refused, Misconfigured)
    assert remedy in refused.reason
    assert google.ledger.items("machine") == []


def test_policy_against_external_addresses_has_a_remedy(google: GcpEmulator) -> None:
    google.world.no_external_ip = True
    assert "Public IP" in _refused(cloud_at(google.url)).reason
    assert cloud_at(google.url, public_ip=False).launch(offer(), brief())[0].zone == A


def test_disk_smaller_than_the_image(google: GcpEmulator, cloud: GcpCloud) -> None:
    with pytest.raises(Misconfigured, match="disk_gib"):
        cloud.launch(offer(), replace(brief(), disk_gib=5))


def test_throttled_launch_has_the_time_to_wait(google: GcpEmulator, cloud: GcpCloud) -> None:
    answer = error(429, "rateLimitExceeded", "Rate Limit Exceeded")
    google.refuse(gcp.INSERT, Response(answer.body, 429, headers={"Retry-After": "17"}), times=1)
    with pytest.raises(Throttled) as caught:
        cloud.launch(offer(), brief())
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    "answer",
    [
        newer_error(403, "PERMISSION_DENIED", _DISABLED),
        newer_error(400, "FAILED_PRECONDITION", "Constraint constraints/gcp.resourceLocations violated"),
    ],
)
def test_no_machine_without_its_secret(google: GcpEmulator, cloud: GcpCloud, answer: Response) -> None:
    google.refuse(gcp.ADD_VERSION, answer)
    assert type(_refused(cloud)) is Misconfigured
    assert google.compute.inserts == []


def test_offer_without_a_zone(cloud: GcpCloud) -> None:
    with pytest.raises(Unfit, match="zone"):
        cloud.launch(offer().model_copy(update={"zone": None}), brief())


def test_missing_project(cloud: GcpCloud) -> None:
    nameless = cloud.credentials.model_copy(update={"project": None})
    with pytest.raises(Misconfigured, match="Project"):
        cloud.model_copy(update={"credentials": nameless}).launch(offer(), brief())
