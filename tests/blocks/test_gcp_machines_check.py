"""`check` reports what is missing in one line each, with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from spotwave.blocks.gcp.check import PERMISSIONS
from spotwave.blocks.models import Finding
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import error, newer_error
from tests.emulators.gcp_cloud import cloud_at
from tests.test_rooms import ROOT


def _found(google: GcpEmulator, **fields: Any) -> dict[str, Finding]:
    found = {finding.what: finding for finding in cloud_at(google.url, **fields).check()}
    assert all("\n" not in finding.said for finding in found.values())
    assert google.ledger.left() == [], "a check must leave nothing behind"
    return found


@pytest.mark.parametrize(
    ("fields", "what", "message"),
    [
        ({"project": "another"}, "credentials", "project"),
        ({"network": "nowhere"}, "network", "gcloud compute networks create nowhere"),
        ({"image": "projects/spotwave-test/global/images/gone"}, "image x86_64", "image:"),
        ({"image": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"}, "image x86_64", "arm64"),
        ({"regions": ["us-central1", "mars-north1"]}, "region mars-north1", "Regions"),
        ({"service_account": "nobody@x.iam.gserviceaccount.com"}, "machines' role", "Service account"),
    ],
)
def test_wrong_setting_is_reported(google: GcpEmulator, fields: dict[str, Any], what: str, message: str) -> None:
    finding = _found(google, **fields)[what]
    assert finding.ok is False
    assert message in finding.said


def test_image_for_one_architecture_is_no_failure(google: GcpEmulator) -> None:
    found = _found(google, image="projects/spotwave-test/global/images/baked")
    assert found["image x86_64"].ok
    assert found["image arm64"].ok is None
    assert "Image for arm64" in found["image arm64"].said


def test_missing_permissions_are_listed(google: GcpEmulator) -> None:
    google.world.lacks |= {"compute.instances.create", "iam.serviceAccounts.actAs"}
    found = _found(google)
    assert found["launcher's role"].ok is False
    assert "lacks compute.instances.create;" in found["launcher's role"].said
    assert found["machines' role"].ok is False
    assert "roles/iam.serviceAccountUser" in found["machines' role"].said


def test_failed_check_is_not_reported_as_ok(google: GcpEmulator) -> None:
    google.refuse(gcp.PERMISSIONS, newer_error(403, "PERMISSION_DENIED", "disabled"))
    google.refuse(gcp.ACCOUNT_PERMISSIONS, newer_error(403, "PERMISSION_DENIED", "disabled"))
    google.refuse(gcp.REGIONS, error(403, "forbidden", "no"))
    found = _found(google)
    for what in ("launcher's role", "machines' role", "regions"):
        assert found[what].ok is None
    assert "gcloud services enable" in found["launcher's role"].said


@pytest.mark.parametrize(
    ("quotas", "ok", "metric"),
    [
        ({"PREEMPTIBLE_CPUS": (24.0, 20.0)}, False, "PREEMPTIBLE_CPUS"),
        ({"PREEMPTIBLE_CPUS": (24.0, 4.0), "CPUS": (8.0, 8.0)}, True, "PREEMPTIBLE_CPUS"),
        ({"PREEMPTIBLE_CPUS": (0.0, 0.0), "CPUS": (72.0, 2.0)}, True, "CPUS"),
        ({"PREEMPTIBLE_CPUS": (0.0, 0.0), "CPUS": (8.0, 8.0)}, False, "CPUS"),
    ],
)
def test_quota(google: GcpEmulator, quotas: dict[str, tuple[float, float]], ok: bool, metric: str) -> None:
    google.world.quotas["us-central1"] = quotas
    finding = _found(google, regions=["us-central1"])["quota us-central1"]
    assert finding.ok is ok
    assert metric in finding.said
    assert ("request more" in finding.said) is not ok
    assert _found(google)["quota"].ok, "one of three regions does not matter"


def test_secrets_that_cannot_be_written(google: GcpEmulator) -> None:
    disabled = "Secret Manager API has not been used in project 1 before or it is disabled."
    google.refuse(gcp.CREATE_SECRET, newer_error(403, "PERMISSION_DENIED", disabled))
    finding = _found(google)["secrets"]
    assert finding.ok is False
    assert "gcloud services enable" in finding.said


@pytest.mark.parametrize(
    ("fields", "ok", "message"),
    [
        ({}, None, "each region tried will get its own"),
        ({"regions": ["europe-west4"]}, True, "one was created in europe-west4 and deleted again"),
        ({"secret_locations": ["europe-west4"]}, True, "in europe-west4 and deleted"),
        ({"secret_locations": ["us-central1"]}, False, "correct secret_locations"),
        ({"regions": ["us-central1"]}, False, "correct regions"),
    ],
)
def test_location_policy(google: GcpEmulator, fields: dict[str, Any], ok: bool | None, message: str) -> None:
    google.world.closed = {"us-central1", "us-east1"}
    finding = _found(google, **fields)["secrets"]
    assert finding.ok is ok
    assert message in finding.said


def test_missing_project(google: GcpEmulator) -> None:
    cloud = cloud_at(google.url)
    nameless = cloud.model_copy(update={"credentials": cloud.credentials.model_copy(update={"project": None})})
    (finding,) = nameless.check()
    assert finding.ok is False
    assert "Project" in finding.said


def test_role_definitions_contain_the_checked_permissions() -> None:
    role = yaml.safe_load((ROOT / "deployments/policies/gcp-launcher.yaml").read_text())
    assert set(PERMISSIONS) <= set(role["includedPermissions"])
    machine = yaml.safe_load((ROOT / "deployments/policies/gcp-machine.yaml").read_text())
    assert machine["includedPermissions"] == ["compute.instances.delete", "secretmanager.versions.access"]
