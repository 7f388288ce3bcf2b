"""Location of a job's secret: automatic, as set in the block, or in the regions that a policy allows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import SecretStr, ValidationError

from spotwave.blocks.errors import Closed, Misconfigured
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import LaunchBrief, Machine
from tests.blocks.machine_kit import brief as a_brief
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at, offer
from tests.emulators.gcp_routes import ADD_VERSION, CREATE_SECRET

JOB = "sw-0123456789ab"
EVERYWHERE = f"spotwave-{JOB}"
HERE, THERE = "us-central1", "europe-west4"


def brief(attempt: int = 1, content: str = "x") -> LaunchBrief:
    return replace(a_brief(JOB, attempt), secrets={"api.json": SecretStr(content)})


def secret_of(google: GcpEmulator, machine: Machine) -> str:
    """Return the name of the secret in the machine's settings."""
    body = google.compute.instances[str(machine.zone), machine.id].body
    script = next(item["value"] for item in body["metadata"]["items"] if item["key"] == "startup-script")
    (name,) = [line.partition("=")[2] for line in script.splitlines() if line.startswith("export SPOTWAVE_SECRET=")]
    return str(name)


def places(google: GcpEmulator, name: str) -> list[str]:
    replication = google.vault.living[name].body["replication"]
    return [replica["location"] for replica in replication.get("userManaged", {}).get("replicas", [])]


def test_each_region_has_its_secret_if_a_policy_forbids_automatic_replication(google: GcpEmulator) -> None:
    google.world.closed = {"us-east1"}
    cloud = cloud_at(google.url)
    [first] = cloud.launch(offer(zone=f"{HERE}-a"), brief())
    [second] = cloud.launch(offer(zone=f"{THERE}-a"), brief(attempt=2, content="of the second"))
    assert secret_of(google, first) == f"{EVERYWHERE}-{HERE}"
    assert secret_of(google, second) == f"{EVERYWHERE}-{THERE}"
    assert {name: places(google, name) for name in google.vault.living} == {
        f"{EVERYWHERE}-{HERE}": [HERE],
        f"{EVERYWHERE}-{THERE}": [THERE],
    }
    assert json.loads(google.secrets[secret_of(google, second)]) == {"api.json": "of the second"}
    assert google.count(CREATE_SECRET) == 3, "automatic replication is tried only once"

    cloud.terminate(first)
    cloud.terminate(second)
    left = cloud.leftovers(JOB)
    assert sorted(one.id for one in left) == [f"{EVERYWHERE}-{THERE}", f"{EVERYWHERE}-{HERE}"]
    for one in left:
        cloud.remove(one)
    assert google.ledger.left() == []


def test_new_process_finds_the_regions_secret_again(google: GcpEmulator) -> None:
    google.world.closed = {THERE}
    cloud_at(google.url).launch(offer(zone=f"{HERE}-a"), brief())
    [again] = cloud_at(google.url).launch(offer(zone=f"{HERE}-b"), brief(attempt=2, content="of the second"))
    assert list(google.vault.living) == [secret_of(google, again)]
    assert json.loads(google.secrets[secret_of(google, again)]) == {"api.json": "of the second"}


def test_region_forbidden_by_the_policy_is_refused_before_anything_is_created(google: GcpEmulator) -> None:
    google.world.closed = {THERE}
    cloud = cloud_at(google.url)
    with pytest.raises(Closed, match=r"europe-west4: constraints/gcp\.resourceLocations") as refused:
        cloud.launch(offer(zone=f"{THERE}-a"), brief())
    assert refused.value.reach == "region", "other regions are still tried"
    assert google.ledger.left() == []
    cloud.launch(offer(zone=f"{HERE}-a"), brief())


def test_locations_set_in_the_block(google: GcpEmulator) -> None:
    google.world.closed = {HERE}
    with pytest.raises(Misconfigured, match=f"secret_locations: .* forbids {HERE}; choose locations that it allows"):
        cloud_at(google.url, secret_locations=[HERE]).launch(offer(zone=f"{THERE}-a"), brief())
    [machine] = cloud_at(google.url, secret_locations=[THERE]).launch(offer(zone=f"{THERE}-a"), brief())
    assert secret_of(google, machine) == EVERYWHERE, "one secret for all regions"
    assert places(google, EVERYWHERE) == [THERE]
    with pytest.raises(ValidationError, match="secret_locations: 'global' is not a region"):
        GcpCloud(**{**dict(cloud_at(google.url)), "secret_locations": ["global"]})


def test_without_a_policy_one_secret_is_written_once_per_placement(google: GcpEmulator) -> None:
    cloud = cloud_at(google.url)
    for zone in (f"{HERE}-a", f"{HERE}-b", f"{THERE}-a"):
        assert secret_of(google, cloud.launch(offer(zone=zone), brief())[0]) == EVERYWHERE
    assert places(google, EVERYWHERE) == []
    assert google.count(CREATE_SECRET) == 1
    assert google.count(ADD_VERSION) == 2, "the first call finds no secret"
