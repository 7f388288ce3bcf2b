"""Compute Engine's machines, launched by the real SDK on the emulator; nothing boots here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.cloud import compute_v1 as sdk
from pydantic import SecretStr, ValidationError

from spotwave.blocks.errors import Misconfigured, Throttled, Unclear, Unfit
from spotwave.blocks.gcp import machines
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import LaunchBrief, Leftover, Machine, MachineState
from spotwave.blocks.tags import tags_of, unpacked
from tests.blocks.machine_kit import brief as a_brief
from tests.blocks.machine_kit import until
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator, fault, server_error
from tests.emulators.gcp_cloud import cloud_at, offer
from tests.emulators.server import cut

JOB = "sw-0123456789ab"
A, B, EUROPE = "us-central1-a", "us-central1-b", "europe-west4-a"
SECRETS = ("planted-rclone-secret", "planted-api-secret")


@pytest.fixture
def google() -> Iterator[GcpEmulator]:
    with GcpEmulator() as emulator:
        emulator.compute.boots = False
        yield emulator


@pytest.fixture
def cloud(google: GcpEmulator) -> GcpCloud:
    return cloud_at(google.url)


@pytest.fixture
def brief() -> LaunchBrief:
    return _brief()


def _brief(job_key: str = JOB, attempt: int = 1) -> LaunchBrief:
    planted = {"rclone.conf": SecretStr(SECRETS[0]), "api.json": SecretStr(SECRETS[1])}
    return replace(a_brief(job_key, attempt), secrets=planted, disk_gib=20.5)


def _left(google: GcpEmulator) -> set[str]:
    return {item.kind for item in google.ledger.left()}


def _inserts(google: GcpEmulator) -> int:
    return sum(call.startswith("insert ") for call in google.calls)


def test_what_is_launched_is_a_spot_vm_that_leaves_nothing_behind(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    machine = cloud.launch(offer(), brief)

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
    for setting in (
        f"SPOTWAVE_SECRET=spotwave-{JOB}",
        f"SPOTWAVE_SECRET_AT={google.url}",
        "SPOTWAVE_PROJECT=spotwave-test",
        f"SPOTWAVE_API_AT={google.url}",
    ):
        assert f"export {setting}\n" in items["startup-script"]
    assert machine == Machine(
        cloud="gcp",
        id=machine.id,
        region="us-central1",
        zone=A,
        offer=offer(),
        job_key=JOB,
        attempt=1,
        launched_at=machine.launched_at,
        deadline=float(int(brief.brief.deadline)),
        disk_gib=20.0,
    )
    assert abs((machine.launched_at - datetime.now(UTC)).total_seconds()) < 60
    assert _left(google) == {"machine", "disk", "ip", "secret"}
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
def test_image_and_disk_go_with_the_type(
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


def test_an_image_of_ones_own_for_one_architecture_leaves_out_the_other(
    google: GcpEmulator, brief: LaunchBrief
) -> None:
    cloud = cloud_at(google.url, image="projects/spotwave-test/global/images/baked")
    with pytest.raises(Unfit, match="Image for arm64"):
        cloud.launch(offer("t2a-standard-4", architecture="arm64"), brief)
    assert google.ledger.items() == []


def test_a_word_that_is_no_image_is_refused_by_the_form() -> None:
    with pytest.raises(ValidationError, match=r"ubuntu-24\.04"):
        cloud_at("http://127.0.0.1:1", image="ubuntu")


def test_the_other_settings_of_the_block_are_heeded(google: GcpEmulator, brief: LaunchBrief) -> None:
    cloud = cloud_at(
        google.url, service_account=google.world.machine_account, subnetwork="wave", public_ip=False, network="x"
    )
    cloud.launch(offer(), brief)
    (sent,) = google.compute.inserts
    assert sent.body["networkInterfaces"] == [{"subnetwork": "regions/us-central1/subnetworks/wave"}]
    assert sent.body["serviceAccounts"][0]["email"] == google.world.machine_account
    assert _left(google) == {"machine", "disk", "secret"}


def test_the_same_launch_again_is_the_same_machine(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    first = cloud.launch(offer(), brief)
    assert cloud.launch(offer(), brief) == first
    one, two = google.compute.inserts
    assert (one.request_id, one.body) == (two.request_id, two.body)
    assert len(google.ledger.items("machine")) == 1


def test_another_offer_or_attempt_is_another_machine(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    launched = [
        cloud.launch(offer(), brief),
        cloud.launch(offer(zone=B), brief),
        cloud.launch(offer("n2-standard-8"), brief),
        cloud.launch(offer(), _brief(attempt=2)),
    ]
    assert len({machine.id for machine in launched}) == 4
    assert len({sent.request_id for sent in google.compute.inserts}) == 4


def test_a_name_that_is_taken_by_this_attempt_is_adopted(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    first = cloud.launch(offer(), brief)
    google.compute.forget_requests()
    again = cloud.launch(offer(), brief)
    assert (again.id, again.offer, again.attempt) == (first.id, first.offer, first.attempt)
    assert len(google.ledger.items("machine")) == 1


def test_a_name_that_is_taken_by_another_is_not(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    first = cloud.launch(offer(), brief)
    google.compute.forget_requests()
    google.compute.instances[A, first.id].body["labels"] = {"spotwave": "sw-somebody"}
    with pytest.raises(Unclear, match="somebody else's"):
        cloud.launch(offer(), brief)
    assert "machine" in _left(google), "it is not ours to delete"


@pytest.mark.parametrize("answer", [cut(), server_error()], ids=["cut", "503"])
def test_a_launch_whose_answer_is_lost_is_adopted_and_not_doubled(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief, answer: gcp.Answer
) -> None:
    google.fail(fault(gcp.INSERT, answer, times=1))
    machine = cloud.launch(offer(), brief)
    assert _inserts(google) == 2
    assert len(google.ledger.items("machine")) == 1
    assert [found.id for found in cloud.find(JOB)] == [machine.id]


def test_a_launch_that_never_answers_leaves_nothing(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    google.fail(fault(gcp.INSERT, server_error()))
    with pytest.raises(Throttled, match="deleted") as caught:
        cloud.machines(patience_s=0.6).launch(offer(), brief)
    assert caught.value.repeated, "nobody asks for the same again"
    assert len(google.ledger.items("machine")) == 1, "it was made all the same"
    assert _left(google) == {"secret"}


def test_a_launch_that_can_neither_be_heard_nor_undone_is_found_again(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    google.fail(fault(gcp.INSERT, server_error()))
    google.refuse(gcp.DELETE, gcp.error(503, "backendError", "Backend Error"))
    with pytest.raises(Throttled, match="may be running"):
        cloud.machines(patience_s=0.6).launch(offer(), brief)
    google.heal()
    machine = cloud.launch(offer(), brief)
    assert cloud.state(machine) is MachineState.RUNNING
    assert len(google.ledger.items("machine")) == 1


def test_a_machine_that_is_not_made_in_time_is_given_up(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "CREATED_S", 0.3)
    google.compute.delay_s = 0.8
    with pytest.raises(Unclear, match="not made within"):
        cloud.launch(offer(), brief)
    assert _left(google) == {"secret"}


def test_a_deletion_that_takes_long_is_surely_going(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = cloud.launch(offer(), brief)
    monkeypatch.setattr(machines, "DELETED_S", 0.2)
    google.compute.delay_s = 0.8
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.STOPPING
    until(lambda: _left(google) == {"secret"})


def test_an_operation_that_cannot_be_asked_for_leaves_nothing(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    google.refuse(gcp.WAIT, gcp.error(403, "forbidden", "no"), times=1)
    with pytest.raises(Misconfigured):
        cloud.launch(offer(), brief)
    assert _left(google) == {"secret"}


def test_find_sees_every_zone_without_memory_and_only_ours(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    google.compute.page_size = 1
    mine = [cloud.launch(offer(zone=zone), brief) for zone in (A, EUROPE)]
    others = cloud.launch(offer(zone=B), _brief("sw-other"))
    stranger = cloud.launch(offer("n2-standard-8"), brief)
    google.compute.instances[A, stranger.id].body["labels"] = {"spotwave-attempt": "1"}
    google.compute.switched_off(google.compute.instances[EUROPE, mine[1].id])

    fresh = cloud_at(google.url)
    found = fresh.find(JOB)
    assert {machine.id for machine in found} == {machine.id for machine in mine}, "its disk bills when it is off, too"
    assert {machine.zone for machine in found} == {A, EUROPE}
    assert {machine.offer.zone for machine in found} == {A, EUROPE}
    assert found[0].model_copy(update={"launched_at": None}) in [
        machine.model_copy(update={"launched_at": None}) for machine in mine
    ]
    assert {machine.id for machine in fresh.find()} == {others.id, *(machine.id for machine in mine)}


@pytest.mark.parametrize("how", ["warning", "unreachable"])
def test_a_zone_that_is_not_seen_is_not_an_empty_one(google: GcpEmulator, cloud: GcpCloud, how: str) -> None:
    if how == "warning":
        google.compute.warnings[EUROPE] = "UNREACHABLE"
    else:
        google.compute.unreachable.append(f"projects/spotwave-test/zones/{EUROPE}")
    with pytest.raises(Throttled, match=EUROPE):
        cloud.find()
    with pytest.raises(Throttled, match=EUROPE):
        cloud.leftovers()


def test_states(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    instance = google.compute.instances[A, machine.id]
    for status, state in {
        "PROVISIONING": MachineState.PENDING,
        "STAGING": MachineState.PENDING,
        "RUNNING": MachineState.RUNNING,
        "REPAIRING": MachineState.RUNNING,
        "STOPPING": MachineState.STOPPING,
        "TERMINATED": MachineState.STOPPING,
    }.items():
        instance.status = status
        assert cloud.state(machine) is state


def test_state_after_a_preemption(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine, other = cloud.launch(offer(), brief), cloud.launch(offer("n2-standard-8"), brief)
    google.interrupt(machine.id, None)
    until(lambda: (A, machine.id) not in google.compute.instances)
    assert cloud.state(machine) is MachineState.INTERRUPTED
    assert cloud.state(other) is MachineState.RUNNING
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.INTERRUPTED


def test_state_after_a_preemption_that_has_not_deleted_it(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    machine = cloud.launch(offer(), brief)
    instance = google.compute.instances[A, machine.id]
    instance.body["scheduling"]["instanceTerminationAction"] = "STOP"
    google.interrupt(machine.id, None)
    until(lambda: instance.status == "TERMINATED")
    assert cloud.state(machine) is MachineState.INTERRUPTED


def test_state_after_our_own_termination(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.GONE


def test_a_machine_is_not_seen_right_after_its_launch(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    google.compute.hidden_reads = 2
    machine = cloud.launch(offer(), brief)
    assert cloud.state(machine) is MachineState.PENDING
    assert cloud.state(machine) is MachineState.PENDING
    assert cloud.state(machine) is MachineState.RUNNING


def test_one_that_nobody_knows_is_gone(cloud: GcpCloud, google: GcpEmulator, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    old = machine.model_copy(update={"id": "sw-old-1-abc", "launched_at": datetime(2026, 1, 1, tzinfo=UTC)})
    assert cloud.state(old) is MachineState.GONE


def test_errors_when_a_machine_is_described(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    google.fail(fault(gcp.GET, server_error(), times=1))
    assert cloud.state(machine) is MachineState.RUNNING
    google.fail(fault(gcp.GET, server_error()))
    with pytest.raises(Throttled):
        cloud.machines(patience_s=0.3).state(machine)


def test_terminate_is_complete_and_safe_to_repeat(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    google.fail(fault(gcp.DELETE, server_error(), times=1))
    cloud.terminate(machine)
    assert _left(google) == {"secret"}
    cloud.terminate(machine)
    for leftover in cloud.leftovers(JOB):
        cloud.remove(leftover)
    assert google.ledger.left() == []


def test_the_secret_is_one_for_the_job_and_new_for_each_attempt(
    google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief
) -> None:
    cloud.launch(offer(), brief)
    name = f"spotwave-{JOB}"
    assert json.loads(google.secrets[name]) == {"rclone.conf": SECRETS[0], "api.json": SECRETS[1]}
    second = replace(_brief(attempt=2), secrets={"api.json": SecretStr("of the second")})
    cloud.launch(offer(), second)
    assert json.loads(google.secrets[name]) == {"api.json": "of the second"}
    secret = google.vault.living[name]
    assert secret.body["labels"] == {"spotwave": JOB}
    expiry = datetime.fromisoformat(secret.body["expireTime"]).timestamp()
    assert expiry - brief.brief.deadline == pytest.approx(86_400, abs=1)
    assert gcp.ACCESS not in " ".join(google.calls), "the launcher needs no right to read"


def test_secrets_are_in_the_secret_manager_alone(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    seen = json.dumps([sent.body for sent in google.compute.inserts]) + repr(google.calls) + repr(machine) + repr(brief)
    seen += repr(cloud.leftovers())
    for secret in SECRETS:
        assert secret in google.secrets[f"spotwave-{JOB}"]
        assert secret not in seen


def test_leftovers_are_found_and_removed(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    cloud.launch(offer(zone=EUROPE), _brief("sw-other"))
    assert [one.kind for one in cloud.leftovers(JOB)] == ["secret"], "a living machine's disk is no leftover"
    google.compute.instances[A, machine.id].boot_disk["autoDelete"] = False
    cloud.terminate(machine)
    found = cloud.leftovers(JOB)
    assert [(one.kind, one.zone, one.region, one.job_key) for one in found] == [
        ("disk", A, "us-central1", JOB),
        ("secret", None, "", JOB),
    ]
    assert all(one.created_at is not None for one in found)
    assert len(cloud.leftovers()) == 3
    for leftover in [*found, *found]:
        cloud.remove(leftover)
    assert {item.id.partition("-1-")[0] for item in google.ledger.left()} == {"sw-other", "spotwave-sw-other"}


def test_a_disk_in_use_is_not_removed(google: GcpEmulator, cloud: GcpCloud, brief: LaunchBrief) -> None:
    machine = cloud.launch(offer(), brief)
    mistaken = Leftover(cloud="gcp", kind="disk", id=machine.id, region="us-central1", zone=A, job_key=JOB)
    with pytest.raises(Misconfigured):
        cloud.remove(mistaken)
    assert "disk" in _left(google)


def test_a_leftover_without_an_answer_is_throttled(google: GcpEmulator, cloud: GcpCloud) -> None:
    google.refuse(gcp.LIST_SECRETS, gcp.error(403, "rateLimitExceeded", "slow down"), times=1)
    assert cloud.leftovers() == [], "asked again"


def test_where_its_machines_are(google: GcpEmulator, cloud: GcpCloud) -> None:
    assert cloud.is_local
    assert not GcpCloud(credentials=cloud.credentials).is_local


def test_the_sdk_knows_what_is_sent() -> None:
    """A field that the SDK renames would be left out in silence."""
    assert {"termination_time", "instance_termination_action"} <= set(sdk.Scheduling.meta.fields)
