"""Small quotas and closed regions: which offers a refusal leaves in a ranking, on realistic emulated clouds.

Without Prefect: the real launch, the real ranking, and what `tasks.market.refusals` concludes about offers that were
not tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from spotwave.blocks.errors import Capacity, Closed, LaunchRefused, Quota
from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer, Requirements
from spotwave.blocks.registry import wing
from spotwave.tasks.market.refusals import covers, hopeless, refusal_of, summary
from spotwave.tasks.records import Refusal
from tests.blocks import aws_kit, machine_kit
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.aws_quotas import class_of
from tests.emulators.aws_rows import shape, zone_row
from tests.emulators.aws_world import World as AwsWorld
from tests.emulators.aws_world import usual
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block, emulated
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at
from tests.emulators.gcp_rows import core_and_ram, machine_type
from tests.emulators.gcp_world import World as GcpWorld
from tests.tasks.refusals_kit import REQUIREMENTS, Launch, walk

# AWS


_AWS_SIZES = [("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("16xlarge", 64)]
_AWS_FAMILIES = {
    "c7i": (2, "x86_64", _AWS_SIZES),
    "m7a": (4, "x86_64", _AWS_SIZES),
    "r7g": (8, "arm64", _AWS_SIZES),
    "x2gd": (16, "arm64", _AWS_SIZES[2:4]),
    "x2iedn": (32, "x86_64", _AWS_SIZES[2:]),
}


def _aws_world() -> AwsWorld:
    """Three regions, in which X costs a tenth of its real price, so that it is ranked first."""
    types = [
        shape(f"{family}.{size}", vcpus, gib * vcpus, architecture)
        for family, (gib, architecture, sizes) in _AWS_FAMILIES.items()
        for size, vcpus in sizes
    ]
    names = [row["InstanceType"] for row in types]
    regions = ("us-east-1", "eu-west-1", "ap-south-1")
    zones = {region: [zone_row(region, "a")] for region in regions}
    world = usual(AwsWorld(zones, {row["InstanceType"]: row for row in types}, dict.fromkeys(regions, names)), terms=1)
    for rows in world.history.values():
        for row in rows:
            if row["InstanceType"].startswith("x2"):
                row["SpotPrice"] = f"{float(row['SpotPrice']) / 10:.6f}"
    return world


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[AwsEmulator, Market, Launch]]:
    with AwsEmulator(_aws_world(), boots=False) as emulator:
        yield emulator, aws_at(emulator).market(), aws_kit.machines(emulator).launch


@pytest.mark.parametrize(("class_", "vcpus"), [("X", 0), ("Standard", 16)])
def test_aws_class_quota_leaves_other_classes_and_smaller_sizes(
    aws: tuple[AwsEmulator, Market, Launch], class_: str, vcpus: int
) -> None:
    emulator, market, launch = aws
    regions = emulator.world.regions
    emulator.account.quota_vcpus = dict.fromkeys(regions, vcpus if class_ == "Standard" else 640)
    # A low quota of one class usually comes with none of the other.
    emulator.account.class_vcpus = {(region, "X"): 0 for region in regions}
    launched = 0
    for wanted in REQUIREMENTS:
        emulator.fleet.instances.clear()
        ranked, refusals, machine = walk(launch, market, wanted)
        fits = [o for o in ranked if o.vcpus <= emulator.account.spot_vcpus(o.region, class_of(o.instance_type))]
        assert (machine is not None) == bool(fits), f"{wanted}: {summary(refusals)}"
        assert machine is None or machine.offer == fits[0], "the best offer that fits"
        assert {refusal.kind for refusal in refusals} <= {"quota"}
        # Service Quotas reports the limit: one try per class and region, whatever the sizes.
        assert len({(r.offer.region, class_of(r.offer.instance_type)) for r in refusals}) == len(refusals)
        launched += machine is not None
    assert launched >= 36


# GCP


_GCP_FAMILIES = {
    "n2": "N2 Instance",
    "n2d": "N2D AMD Instance",
    "c2": "Compute optimized",
    "c2d": "C2D AMD Instance",
    "t2d": "T2D AMD Instance",
    "e2": "E2 Instance",
    "c4d": "C4D Instance",
    "c4a": "C4A Arm Instance",
}
_LIMITED = {f"{family}_CPUS" for family in ("N2", "N2D", "C2", "C2D", "T2D")}


def _gcp_world() -> GcpWorld:
    regions = ("us-central1", "europe-west4", "us-east4")
    types = [
        machine_type(f"{family}-standard-{vcpus}", vcpus, 4 * vcpus, "ARM64" if family == "c4a" else "X86_64")
        for family in _GCP_FAMILIES
        for vcpus in (2, 4, 8, 16, 32)
    ]
    skus = [
        one
        for number, region in enumerate(regions)
        for place, name in enumerate(_GCP_FAMILIES.values())
        for one in core_and_ram(name, 0.006 + 0.001 * ((place + number) % 5), 0.001, region)
    ]
    return GcpWorld(zones={f"{region}-{letter}": types for region in regions for letter in "a"}, skus=skus)


@pytest.fixture(scope="module")
def google() -> Iterator[tuple[GcpEmulator, Market, Launch]]:
    with GcpEmulator(_gcp_world()) as emulator:
        emulator.compute.boots = False
        cloud = cloud_at(emulator.url)
        yield emulator, cloud.market(), cloud.machines().launch


@pytest.fixture(params=["families", "project", "preemptible", "C4D"])
def limits(
    request: pytest.FixtureRequest, google: tuple[GcpEmulator, Market, Launch]
) -> Iterator[Callable[[Offer], bool]]:
    """Set the quotas of that name; yield whether an offer fits into them."""
    world = google[0].world
    regions = {zone.rpartition("-")[0] for zone in world.zones}
    match request.param:
        case "families":
            world.quotas = {one: {"PREEMPTIBLE_CPUS": (0, 0), **dict.fromkeys(_LIMITED, (8, 0))} for one in regions}
            yield lambda o: o.vcpus <= 8 or f"{o.family.upper()}_CPUS" not in _LIMITED
        case "project":
            world.project_quotas = {"CPUS_ALL_REGIONS": (12, 0)}
            yield lambda o: o.vcpus <= 12
        case "preemptible":
            world.quotas = {one: {"PREEMPTIBLE_CPUS": (8, 0)} for one in regions if one != "us-east4"}
            yield lambda o: o.vcpus <= 8 or o.region == "us-east4"
        case _:
            none = {"PREEMPTIBLE_CPUS": (0, 0), "CPUS_PER_VM_FAMILY C4D": (0, 0), "CPUS_PER_VM_FAMILY C4": (0, 0)}
            world.quotas = dict.fromkeys(regions, none)
            yield lambda o: o.family not in ("c4", "c4d")
    world.quotas, world.project_quotas = {}, {}


def test_gcp_quota_covers_what_its_metric_counts(
    google: tuple[GcpEmulator, Market, Launch], limits: Callable[[Offer], bool]
) -> None:
    emulator, market, launch = google
    launched = 0
    for wanted in REQUIREMENTS:
        emulator.compute.instances.clear()
        ranked, refusals, machine = walk(launch, market, wanted)
        fits = [offer for offer in ranked if limits(offer)]
        assert (machine is not None) == bool(fits), f"{wanted}: {summary(refusals)}"
        assert machine is None or machine.offer == fits[0]
        # The error reports the limit: one try per quota and region, whatever the sizes.
        assert len({(r.scope.quota, r.scope.region) for r in refusals if r.scope}) == len(refusals)
        launched += machine is not None
    assert launched >= 30


def test_used_up_gpu_quota_does_not_cover_machines_without_gpu() -> None:
    refused_quota = Quota("GPUS_ALL_REGIONS", "cloud", "GPUS_ALL_REGIONS")
    base = Offer(
        cloud="gcp", instance_type="g2-standard-4", region="us-central1", zone="us-central1-a", family="g2", vcpus=4,
        cores=2, memory_gib=16, architecture="x86_64", gpu="L4", gpu_count=1, spot_usd_h=0.2, notice_s=30,
        seen_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    refusal = refusal_of(base, refused_quota)
    plain = base.model_copy(
        update={"instance_type": "n2-standard-64", "family": "n2", "gpu": None, "gpu_count": 0.0, "vcpus": 64}
    )
    assert covers(refusal, base.model_copy(update={"region": "europe-west4", "zone": "europe-west4-a"}))
    assert covers(refusal, base.model_copy(update={"instance_type": "g2-standard-24", "gpu_count": 2, "vcpus": 24}))
    assert not covers(refusal, plain)
    assert not covers(refusal, base.model_copy(update={"instance_type": "g4-standard-6", "gpu_count": 0.125}))


# Azure


def test_azure_counts_all_families_of_a_region_together(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as azure:
        azure.settings.spot_vcpus = {"eastus": 2, "westeurope": 0, "brazilsouth": 4}
        cloud = block(azure)
        market, launch = cloud.market(), cloud.machines().launch
        for wanted in REQUIREMENTS[::3]:
            azure.resources.vms.clear()
            ranked, refusals, machine = walk(launch, market, wanted)
            takes = wing("azure").quotas_of
            fits = [o for o in ranked if takes(o)["lowPriorityCores"] <= azure.settings.spot_vcpus[o.region]]
            assert (machine is not None) == bool(fits), f"{wanted}: {summary(refusals)}"
            assert machine is None or machine.offer == fits[0]
            assert len({r.offer.region for r in refusals}) == len(refusals), (
                "the error reports what is left: one try per region"
            )


# Policies, and what a refusal without a quota covers


def test_closed_regions_cost_one_try_each_and_end_the_wait(
    aws: tuple[AwsEmulator, Market, Launch],
) -> None:
    emulator, market, launch = aws
    emulator.account.quota_vcpus = dict.fromkeys(emulator.world.regions, 640)
    emulator.account.class_vcpus = {}
    emulator.account.closed = dict.fromkeys(emulator.world.regions[:2], "")
    _, refusals, machine = walk(launch, market, Requirements())
    assert machine is not None
    assert machine.region == emulator.world.regions[2]
    assert len(refusals) <= 2
    emulator.account.closed = dict.fromkeys(emulator.world.regions, "")
    _, refusals, machine = walk(launch, market, Requirements())
    emulator.account.closed = {}
    assert machine is None
    assert [r.kind for r in refusals] == ["closed"] * 3
    assert hopeless(refusals)
    assert "explicit deny in a service control policy" in summary(refusals)
    assert "waiting does not help" in summary(refusals)


_POOLS = [
    ("c7i.large", "us-east-1a"),
    ("c7i.large", "us-east-1b"),
    ("c7i.large", "eu-west-1a"),
    ("m7a.large", "us-east-1a"),
]


@pytest.mark.parametrize(
    ("refused", "covered"),
    [
        (Capacity("x"), [0]),
        (Quota("x", "zone"), [0, 3]),
        (Quota("x", "type"), [0, 1]),
        (Quota("x", "region"), [0, 1, 3]),
        (Quota("x", "cloud"), [0, 1, 2, 3]),
        (Quota("x", "region", "Standard"), [0, 1, 3]),
        (Quota("x", "region", "of an unknown name"), [0, 1]),
        (Closed("x"), [0, 1, 3]),
    ],
)
def test_which_offers_a_refusal_covers(refused: LaunchRefused, covered: list[int]) -> None:
    offers = [aws_kit.offer(name, zone) for name, zone in _POOLS]
    refusal = refusal_of(offers[0], refused)
    assert [number for number, offer in enumerate(offers) if covers(refusal, offer)] == covered
    again = Refusal.model_validate_json(refusal.model_dump_json())
    assert again == refusal
    assert not covers(refusal, machine_kit.offer()), "another cloud"


def test_missing_network_is_a_lasting_refusal(aws: tuple[AwsEmulator, Market, Launch]) -> None:
    emulator, market, _ = aws
    before, emulator.account.subnets = emulator.account.subnets, {region: [] for region in emulator.world.regions}
    launch = aws_kit.machines(emulator).launch  # the fixture's machines have cached the network
    _, refusals, machine = walk(launch, market, Requirements())
    emulator.account.subnets = before
    assert machine is None
    assert [r.kind for r in refusals] == ["quota"] * 3
    assert hopeless(refusals)
    assert "create-default-vpc" in summary(refusals)
    assert summary(refusals).endswith("Waiting does not help")


def test_smaller_machines_of_the_same_quota_are_still_tried() -> None:
    refusal = refusal_of(aws_kit.offer(vcpus=8), Quota("x", "region", "Standard"))
    assert not covers(refusal, aws_kit.offer(vcpus=4))
    assert covers(refusal, aws_kit.offer(vcpus=16))
    refused_quota = refusal_of(aws_kit.offer(vcpus=8), Quota("x", "region", "Standard", left=math.pi))
    assert covers(refused_quota, aws_kit.offer(vcpus=4))
    assert not covers(refused_quota, aws_kit.offer(vcpus=3))
