"""Ends of Compute Engine machines and their leftovers, in cases that no other cloud has."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spotwave.blocks.errors import Misconfigured, Throttled
from spotwave.blocks.gcp import machines
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import Leftover, MachineState
from tests.blocks.machine_kit import CLOUD_HEAD, JOB_KEY, brief, until
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import error
from tests.emulators.gcp_cloud import cloud_at, offer

A, EUROPE = "us-central1-a", "europe-west4-a"


@pytest.fixture
def cloud(google: GcpEmulator) -> GcpCloud:
    return cloud_at(google.url)


def test_slow_deletion_continues_after_the_call(
    google: GcpEmulator, cloud: GcpCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    [machine] = cloud.launch(offer(), brief())
    monkeypatch.setattr(machines, "DELETED_S", 0.2)
    google.compute.delay_s = 0.8
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.STOPPING
    until(lambda: google.left() == ["secret"])


@pytest.mark.parametrize("how", ["warning", "unreachable"])
def test_unreadable_zone_does_not_count_as_empty(google: GcpEmulator, cloud: GcpCloud, how: str) -> None:
    if how == "warning":
        google.compute.warnings[EUROPE] = "UNREACHABLE"
    else:
        google.compute.unreachable.append(f"projects/spotwave-test/zones/{EUROPE}")
    with pytest.raises(Throttled, match=EUROPE):
        cloud.find()
    with pytest.raises(Throttled, match=EUROPE):
        cloud.leftovers()


def test_state_of_a_preempted_machine_that_was_not_deleted(google: GcpEmulator, cloud: GcpCloud) -> None:
    [machine] = cloud.launch(offer(), brief())
    instance = google.compute.instances[A, machine.id]
    instance.body["scheduling"]["instanceTerminationAction"] = "STOP"
    google.interrupt(machine.id, None)
    assert instance.status == "TERMINATED"
    assert cloud.state(machine) is MachineState.INTERRUPTED
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.INTERRUPTED, "the zone's log still has the preemption"


def test_leftover_disk_has_its_zone(google: GcpEmulator, cloud: GcpCloud) -> None:
    [machine] = cloud.launch(offer(), brief())
    google.compute.instances[A, machine.id].boot_disk["autoDelete"] = False
    cloud.terminate(machine)
    found = cloud.leftovers(JOB_KEY)
    assert [(one.kind, one.zone, one.region) for one in found] == [("disk", A, "us-central1"), ("secret", None, "")]
    assert all(one.created_at is not None for one in found)


def test_disk_in_use_is_not_deleted(google: GcpEmulator, cloud: GcpCloud) -> None:
    [machine] = cloud.launch(offer(), brief())
    mistaken = Leftover(cloud="gcp", kind="disk", id=machine.id, region="us-central1", zone=A, job_key=JOB_KEY)
    with pytest.raises(Misconfigured):
        cloud.remove(mistaken)
    assert "disk" in google.left()


def test_throttled_list_of_leftovers_is_retried(google: GcpEmulator, cloud: GcpCloud) -> None:
    google.refuse(gcp.LIST_SECRETS, error(403, "rateLimitExceeded", "slow down"), times=1)
    assert cloud.leftovers() == [], "the call is retried"


def test_compute_engine_ends_a_machine_that_does_not_end_itself(tmp_path: Path) -> None:
    with GcpEmulator(folder=tmp_path) as google:
        idle = cloud_at(google.url).machines(CLOUD_HEAD + "touch up\nexec sleep 600\n")
        [machine] = idle.launch(offer(), brief(deadline=time.time() - 600 + 5))
        until(lambda: google.left() == ["secret"])
        assert not google.computers[machine.id].alive
        assert idle.find() == []
