"""Compute Engine machines, launched by the real SDK on the emulator; they do not boot here."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

import pytest
from google.cloud import compute_v1 as sdk
from pydantic import ValidationError

from spotwave.blocks.errors import Misconfigured, Throttled, Unclear, Unfit
from spotwave.blocks.gcp import machines
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import LaunchBrief, MachineState
from spotwave.blocks.tags import tags_of, unpacked
from tests.blocks.machine_kit import brief as a_brief
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator, fault, server_error
from tests.emulators.gcp_cloud import cloud_at, offer

JOB = "sw-0123456789ab"
A, B, EUROPE = "us-central1-a", "us-central1-b", "europe-west4-a"


@pytest.fixture
def cloud(google: GcpEmulator) -> GcpCloud:
    return cloud_at(google.url)


@pytest.fixture
def brief() -> LaunchBrief:
    return a_brief(disk_gib=20.5)


def test_launch_request_is_a_spot_vm_that_leaves_nothing_behind(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    [machine] = cloud.launch(offer(), brief)
    (sent,) = google.compute.inserts
    body = sent.body
    assert (sent.zone, body["name"]) == (A, machine.id)
    assert machine.id.startswith(f"{JOB}-1-")
    assert len(machine.id) <= 63
    assert UUID(sent.request_id).int
    assert body["machineType"] == f"zones/{A}/machineTypes/n2-standard-4"
    schedule = body["scheduling"]
    end = datetime.fromisoformat(schedule.pop("terminationTime")).timestamp()
    assert 600 <= end - brief.brief.deadline < 601
    assert schedule == {
        "provisioningModel": "SPOT",
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": False,
    }
    assert body["labels"] == tags_of(brief)
    assert body["disks"] == [
        {
            "boot": True,
            "autoDelete": True,
            "initializeParams": {
                "sourceImage": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
                "diskSizeGb": "21",
                "diskType": f"zones/{A}/diskTypes/pd-balanced",
                "labels": tags_of(brief),
            },
        }
    ]
    assert body["networkInterfaces"] == [
        {"network": "global/networks/default", "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]}
    ]
    assert body["serviceAccounts"] == [
        {"email": "default", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    ]
    items = {item["key"]: item["value"] for item in body["metadata"]["items"]}
    assert set(items) == {"startup-script", "spotwave-offer"}
    assert unpacked(items["spotwave-offer"]) == offer()
    for setting in ("SPOTWAVE_PROJECT=spotwave-test", f"SPOTWAVE_API_AT={google.url}"):
        assert f"export {setting}\n" in items["startup-script"]
    assert google.ledger.items("machine")[0].usd_h == pytest.approx(4 * 0.01 + 16 * 0.002)


@pytest.mark.parametrize(
    ("instance_type", "architecture", "fields", "image", "disk_type"),
    [
        ("n2-standard-4", "x86_64", {}, "ubuntu-os-cloud/.*/ubuntu-2404-lts-amd64", "pd-balanced"),
        ("t2a-standard-4", "arm64", {}, "ubuntu-os-cloud/.*/ubuntu-2404-lts-arm64", "pd-balanced"),
        ("c4a-standard-4", "arm64", {"image": "debian-12"}, "debian-cloud/.*/debian-12-arm64", "hyperdisk-balanced"),
        ("c4d-standard-8", "x86_64", {"image": "debian-12"}, "debian-cloud/.*/debian-12", "hyperdisk-balanced"),
        ("c3-standard-192-metal", "x86_64", {}, ".*amd64", "hyperdisk-balanced"),
        (
            "n2-standard-4",
            "x86_64",
            {"image": "https://www.googleapis.com/compute/v1/projects/spotwave-test/global/images/baked"},
            "spotwave-test/global/images/baked",
            "pd-balanced",
        ),
        (
            "t2a-standard-4",
            "arm64",
            {
                "image": "projects/spotwave-test/global/images/baked",
                "image_arm64": "projects/spotwave-test/global/images/family/baked-arm64",
            },
            "spotwave-test/global/images/family/baked-arm64",
            "pd-balanced",
        ),
    ],
)
def test_image_and_disk_match_the_type(
    google: GcpEmulator,
    brief: LaunchBrief,
    instance_type: str,
    architecture: str,
    fields: dict[str, str],
    image: str,
    disk_type: str,
) -> None:
    cloud_at(google.url, **fields).launch(offer(instance_type, architecture=architecture), brief)
    (sent,) = google.compute.inserts
    asked = sent.body["disks"][0]["initializeParams"]
    assert asked["diskType"] == f"zones/{A}/diskTypes/{disk_type}"
    assert re.fullmatch(f"projects/{image}", asked["sourceImage"])


def test_own_image_for_one_architecture_excludes_the_other(google: GcpEmulator, brief: LaunchBrief) -> None:
    cloud = cloud_at(google.url, image="projects/spotwave-test/global/images/baked")
    with pytest.raises(Unfit, match="Image for arm64"):
        cloud.launch(offer("t2a-standard-4", architecture="arm64"), brief)
    assert google.ledger.items() == []


def test_unknown_image_name_is_rejected() -> None:
    with pytest.raises(ValidationError, match=r"ubuntu-24\.04"):
        cloud_at("http://127.0.0.1:1", image="ubuntu")


def test_network_address_and_service_account_come_from_the_block(google: GcpEmulator, brief: LaunchBrief) -> None:
    cloud = cloud_at(
        google.url, service_account=google.world.machine_account, subnetwork="wave", public_ip=False, network="x"
    )
    cloud.launch(offer(), brief)
    (sent,) = google.compute.inserts
    assert sent.body["networkInterfaces"] == [{"subnetwork": "regions/us-central1/subnetworks/wave"}]
    assert sent.body["serviceAccounts"][0]["email"] == google.world.machine_account
    assert google.left() == ["disk", "machine", "secret"]


def test_existing_machine_of_this_attempt_is_adopted(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    [first] = cloud.launch(offer(), brief)
    google.compute.forget_requests()
    [again] = cloud.launch(offer(), brief)
    assert (again.id, again.offer, again.attempt) == (first.id, first.offer, first.attempt)
    assert len(google.ledger.items("machine")) == 1


def test_existing_machine_of_another_owner_is_not_adopted(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    [first] = cloud.launch(offer(), brief)
    google.compute.forget_requests()
    google.compute.instances[A, first.id].tags["spotwave"] = "sw-somebody"
    with pytest.raises(Unclear, match="belongs to another owner"):
        cloud.launch(offer(), brief)
    assert "machine" in google.left(), "another owner's machine must not be deleted"


def test_launch_without_an_answer_leaves_nothing(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    google.fail(fault(gcp.INSERT, server_error()))
    with pytest.raises(Throttled, match="deleted") as caught:
        cloud.machines(patience_s=0.6).launch(offer(), brief)
    assert caught.value.repeated, "no retry is requested"
    assert len(google.ledger.items("machine")) == 1, "it was created nevertheless"
    assert google.left() == ["secret"]


def test_launch_without_answer_or_deletion_is_found_by_the_next(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    google.fail(fault(gcp.INSERT, server_error()))
    google.refuse(gcp.DELETE, gcp.error(503, "backendError", "Backend Error"))
    with pytest.raises(Throttled, match="may be running"):
        cloud.machines(patience_s=0.6).launch(offer(), brief)
    google.heal()
    [machine] = cloud.launch(offer(), brief)
    assert cloud.state(machine) is MachineState.RUNNING
    assert len(google.ledger.items("machine")) == 1


def test_machine_that_is_not_created_in_time_is_deleted(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "CREATED_S", 0.3)
    google.compute.delay_s = 0.8
    with pytest.raises(Unclear, match="not created within"):
        cloud.launch(offer(), brief)
    assert google.left() == ["secret"]


def test_operation_that_cannot_be_polled_leaves_nothing(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    google.refuse(gcp.WAIT, gcp.error(403, "forbidden", "no"), times=1)
    with pytest.raises(Misconfigured):
        cloud.launch(offer(), brief)
    assert google.left() == ["secret"]


def test_secret_expires_and_is_not_read_by_the_launcher(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    cloud.launch(offer(), brief)
    secret = google.vault.living[f"spotwave-{JOB}"]
    assert secret.body["labels"] == {"spotwave": JOB}
    expiry = datetime.fromisoformat(secret.body["expireTime"]).timestamp()
    assert expiry - brief.brief.deadline == pytest.approx(86_400, abs=1)
    assert gcp.ACCESS not in " ".join(google.calls), "the launcher needs no permission to read"


def test_sdk_has_the_fields_that_are_sent() -> None:
    """The SDK would silently drop a field that it has renamed."""
    assert {"termination_time", "instance_termination_action"} <= set(sdk.Scheduling.meta.fields)
