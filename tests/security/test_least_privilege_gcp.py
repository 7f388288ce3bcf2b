"""Google: the documented roles grant each caller exactly the permissions that its calls need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import LaunchBrief
from tests.blocks.machine_kit import brief as a_brief
from tests.blocks.machine_kit import until
from tests.emulators.gcp_cloud import cloud_at, offer
from tests.emulators.gcp_routes import ADD_VERSION, route
from tests.security.api_walkthroughs import MACHINE, billed, looked_at, removed
from tests.security.gcp_iam import GuardedGcp, beside, condition_of_machines, permissions
from tests.security.guard import contains_secret

PLANTED = "planted-2b7d90"
OWN = "projects/spotwave-test/global/images"


def brief(attempt: int = 1) -> LaunchBrief:
    return replace(a_brief(attempt=attempt), secrets={"rclone.conf": SecretStr(PLANTED)})


@pytest.fixture
def google(tmp_path: Path) -> Iterator[GuardedGcp]:
    emulator = GuardedGcp(folder=tmp_path / "machines")
    with emulator:
        yield emulator


def test_roles_grant_exactly_the_used_permissions(google: GuardedGcp) -> None:
    cloud = cloud_at(google.url, image=f"{OWN}/baked", image_arm64=f"{OWN}/family/baked-arm64")
    assert [finding for finding in looked_at(cloud) if not finding.ok] == []
    assert cloud.interruptions([offer()])
    [machine] = cloud.machines(MACHINE).launch(offer(), brief())
    computer = google.computers[machine.id]
    until((computer.work / "up").exists)
    assert (computer.work / "kept/rclone.conf").read_text() == PLANTED
    [second] = cloud.machines("@SETTINGS@\n@BRIEF@\n").launch(offer(), brief(attempt=2))
    cloud.state(second)
    cloud.terminate(second)
    cloud.state(second)
    billed(cloud, second)
    (computer.work / "end").touch()
    until(lambda: not cloud.find())
    google.compute.disks["us-central1-a", "left"] = {"name": "left", "labels": {"spotwave": "sw-1"}, "users": []}
    removed(cloud, "disk", "secret")
    assert google.unknown == []
    assert google.lacked == {}
    assert {route(one)[0] for one in google.requests if contains_secret(one, PLANTED)} == {ADD_VERSION}
    assert google.used == {
        "launcher": permissions("launcher"),
        "beside": beside(),
        "machine": permissions("machine"),
    }


def test_drill_needs_separate_role(google: GuardedGcp) -> None:
    cloud = cloud_at(google.url)
    [machine] = cloud.machines("@SETTINGS@\n@BRIEF@\n").launch(offer(), brief())
    cloud.force_interruption(machine)
    assert google.used["drill"] == permissions("drill")
    google.granted["drill"].clear()
    with pytest.raises(LaunchRefused):
        cloud.force_interruption(machine)
    assert google.lacked == {"launcher": {"compute.instances.simulateMaintenanceEvent"}}


def test_machine_condition_allows_only_own_resources() -> None:
    for resource, may in {
        "projects/1/secrets/spotwave-sw-0123456789ab/versions/latest": True,
        "projects/1/secrets/database-password/versions/latest": False,
        "projects/1/zones/us-central1-a/instances/sw-0123456789ab-1-abcdef": True,
        "projects/1/zones/us-central1-a/instances/mail": False,
    }.items():
        assert condition_of_machines(resource) is may, resource


def test_removed_permission_is_detected(google: GuardedGcp) -> None:
    google.granted["launcher"].remove("compute.subnetworks.useExternalIp")
    with pytest.raises(LaunchRefused, match="give the launcher its role"):
        cloud_at(google.url).launch(offer(), brief())
    assert google.lacked == {"launcher": {"compute.subnetworks.useExternalIp"}}
    assert google.compute.instances == {}
