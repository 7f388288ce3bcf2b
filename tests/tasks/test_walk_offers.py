"""The walk on three emulated clouds: its length, the cost of retries, and unique tokens in each round."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from spotwave.blocks.aws.launch_parameters import token_of as aws_token
from spotwave.blocks.azure.resource_ids import vm_name
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import Capacity
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.gcp.instance import name_of, token_of
from spotwave.blocks.models import LaunchBrief, Machine, Offer, Requirements
from spotwave.tasks.machine.walk_offers import MOST_ASKED, MOST_TRIES, Walk
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Ranked
from tests.blocks.machine_kit import brief as a_brief
from tests.emulators import azure, gcp
from tests.emulators.aws import AwsEmulator, fault, refused, throttled
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.azure_kit import emulated
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import error
from tests.emulators.gcp_cloud import cloud_at as gcp_at

LOG = logging.getLogger("walk")
_RANKED: dict[str, list[Ranked]] = {}  # by kind of cloud, since a market takes seconds to read


@dataclass
class Place:
    """An emulated cloud, and the calls that it receives."""

    emulator: AwsEmulator | GcpEmulator | AzureEmulator
    cloud: Cloud
    launch: str  #: the call's name
    round: int = 1

    def ranked(self) -> list[Ranked]:
        """Return the ranking of its world, which is the same in every test."""
        if self.cloud.kind not in _RANKED:
            _RANKED[self.cloud.kind] = self._rank()
        return _RANKED[self.cloud.kind]

    def _rank(self) -> list[Ranked]:
        return rank(self.cloud.market(), Requirements(max_vcpus=16), Work(1.0), {}).ranked

    def walk(self, ranked: list[Ranked] | None = None) -> tuple[Walk, Machine | None]:
        walk = Walk({self.cloud.kind: self.cloud}, LOG, lambda: True)
        machines = walk.down(self.ranked() if ranked is None else ranked, self.brief)
        return walk, machines[0] if machines else None

    def brief(self, offer: Offer) -> LaunchBrief:
        usual = a_brief()
        return replace(usual, brief=replace(usual.brief, vcpus=offer.vcpus), round=self.round)

    def fill(self, offers: list[Ranked]) -> None:
        """Leave no capacity for these offers."""
        self.emulator.exhausted.update((one.offer.instance_type, one.offer.pool[2]) for one in offers)

    def launches(self, where: str = "") -> int:
        return sum(call.startswith(f"{self.launch} {where}".rstrip()) for call in self.emulator.calls)

    @property
    def machines(self) -> int:
        """Number of machines that are billed now; a failed creation may have been one for a moment."""
        return sum(item.kind == "machine" for item in self.emulator.ledger.left())


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Place]]:
    """Return the clouds by kind. Waits are shortened; the number of retries is not."""
    monkeypatch.setattr("spotwave.tasks.machine.walk_offers.LONGEST_WAIT_S", 0.01)
    with ExitStack() as stack:
        amazon = stack.enter_context(AwsEmulator(boots=False))
        google = stack.enter_context(GcpEmulator())
        google.compute.boots = False
        microsoft = stack.enter_context(emulated(monkeypatch, AzureEmulator(boots=False)))
        yield {
            "aws": Place(amazon, aws_at(amazon, attempts=2), "RunInstances"),
            "gcp": Place(google, gcp_at(google.url), "insert"),
            "azure": Place(microsoft, azure_at(microsoft), "virtualMachines.put"),
        }


@pytest.mark.parametrize(("kind", "place"), [("aws", 18), ("gcp", 13), ("azure", 12)])
def test_a_pool_far_down_the_ranking_is_reached(clouds: dict[str, Place], kind: str, place: int) -> None:
    there = clouds[kind]
    ranked = there.ranked()
    assert len(ranked) >= place
    there.fill([one for number, one in enumerate(ranked, start=1) if number != place])
    walk, machine = there.walk(ranked)
    assert machine is not None
    assert machine.offer.label == ranked[place - 1].offer.label
    assert {refusal.kind for refusal in walk.refusals} == {"capacity"}
    assert (walk.tries, there.machines) == (place, 1)


def test_walk_ends_if_everything_is_full(clouds: dict[str, Place]) -> None:
    aws = clouds["aws"]
    ranked = aws.ranked()
    assert len(ranked) > MOST_TRIES
    aws.fill(ranked)
    walk, machine = aws.walk(ranked)
    assert machine is None
    assert walk.tries == aws.launches() == MOST_TRIES
    assert aws.machines == 0


def test_refused_region_costs_one_try_not_one_per_zone(clouds: dict[str, Place]) -> None:
    aws = clouds["aws"]
    assert isinstance(aws.emulator, AwsEmulator)
    aws.emulator.fail(fault("RunInstances", refused("OptInRequired")))
    ranked = aws.ranked()
    regions = {one.offer.region for one in ranked}
    assert len(ranked) > len(regions)
    walk, machine = aws.walk(ranked)
    assert machine is None
    assert walk.tries == aws.launches() == len(regions)


def test_throttled_region_is_retried_once_per_walk(clouds: dict[str, Place]) -> None:
    aws = clouds["aws"]
    assert isinstance(aws.emulator, AwsEmulator)
    ranked = aws.ranked()
    first = ranked[0].offer.region
    assert len({one.offer.pool for one in ranked if one.offer.region == first}) > 1
    aws.emulator.fail(fault("RunInstances", throttled(), first))
    walk, machine = aws.walk(ranked)
    assert machine is not None
    assert machine.region != first
    assert aws.launches(first) == MOST_ASKED
    assert [refusal.kind for refusal in walk.refusals] == ["throttled"]


def test_throttled_global_api_is_retried_once_per_walk(clouds: dict[str, Place]) -> None:
    """The job's secret is written in one region, before any launch."""
    aws = clouds["aws"]
    assert isinstance(aws.emulator, AwsEmulator)
    aws.emulator.fail(fault("CreateSecret", refused("ThrottlingException", 400)))
    walk, machine = aws.walk()
    assert machine is None
    assert [refusal.kind for refusal in walk.refusals] == ["throttled"]
    assert aws.launches() == 0
    assert sum(call.startswith("CreateSecret") for call in aws.emulator.calls) == 2, "only botocore's own retries"


def test_unknown_fault_is_retried_by_one_layer_only(clouds: dict[str, Place]) -> None:
    aws = clouds["aws"]
    assert isinstance(aws.emulator, AwsEmulator)
    ranked = aws.ranked()
    first = ranked[0].offer.region
    aws.emulator.fail(fault("RunInstances", refused("SomethingBroke", 500), first))
    _, machine = aws.walk(ranked)
    assert machine is not None
    assert machine.region != first
    assert aws.launches(first) == 3, "a launch that may have succeeded is retried with its token"


def test_unavailable_azure_server_costs_only_the_sdks_retries(
    clouds: dict[str, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    microsoft = clouds["azure"]
    assert isinstance(microsoft.emulator, AzureEmulator)
    monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda self, duration: None)
    microsoft.emulator.fail(azure.instead("virtualMachines.put", azure.refused(503, "ServerBusy")))
    ranked = microsoft.ranked()
    regions = {one.offer.region for one in ranked}
    walk, machine = microsoft.walk(ranked)
    assert machine is None
    assert [refusal.offer.region for refusal in walk.refusals] == list(dict.fromkeys(o.offer.region for o in ranked))
    assert microsoft.launches() == 4 * len(regions)


def test_immediate_gcp_capacity_error_is_not_a_lost_answer(clouds: dict[str, Place]) -> None:
    google = clouds["gcp"]
    assert isinstance(google.emulator, GcpEmulator)
    answer = error(503, "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available")
    google.emulator.refuse(gcp.INSERT, answer)
    ranked = google.ranked()[:6]
    walk, machine = google.walk(ranked)
    assert machine is None
    assert {refusal.kind for refusal in walk.refusals} == {"capacity"}
    assert google.launches() == walk.tries == len(ranked)


def test_unresponsive_gcp_region_is_given_up_at_once(
    clouds: dict[str, Place],
) -> None:
    google = clouds["gcp"]
    assert isinstance(google.emulator, GcpEmulator)
    google.emulator.refuse(gcp.INSERT, error(503, "backendError", "Backend Error"))
    ranked = google.ranked()
    walk = Walk({"gcp": _impatient(google.cloud)}, LOG, lambda: True)
    assert walk.down(ranked, google.brief) == []
    assert walk.tries == len({one.offer.region for one in ranked})


def test_new_round_does_not_get_an_old_operation(clouds: dict[str, Place]) -> None:
    """Compute Engine returns a requestId's earlier, failed operation again, so another round needs another id."""
    google = clouds["gcp"]
    first = google.ranked()[0]
    google.fill([first])
    with pytest.raises(Capacity):
        google.cloud.launch(first.offer, google.brief(first.offer))
    google.emulator.exhausted.clear()
    with pytest.raises(Capacity):
        google.cloud.launch(first.offer, google.brief(first.offer))
    google.round = 2
    assert google.cloud.launch(first.offer, google.brief(first.offer))[0].offer.label == first.offer.label
    assert google.machines == 1


def test_every_round_has_unique_tokens_and_names(clouds: dict[str, Place]) -> None:
    briefs = [replace(a_brief(), round=number) for number in (1, 2, 3)]
    offers = {kind: there.ranked()[0].offer for kind, there in clouds.items()}
    for make in (aws_token, token_of, name_of):
        offer = offers["aws" if make is aws_token else "gcp"]
        assert len({make(offer, brief) for brief in briefs}) == 3
    assert len({vm_name(brief, offers["azure"]) for brief in briefs}) == 3
    assert all(len(name_of(offers["gcp"], brief)) <= 63 for brief in briefs)


def _impatient(cloud: Cloud) -> Cloud:
    """Return the same block with a timeout of half a second."""
    assert isinstance(cloud, GcpCloud)
    machines = cloud.machines(patience_s=0.5)

    class Impatient(GcpCloud):
        _block_type_slug = "impatient"

        def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
            return machines.launch(offer, brief, count)

    return Impatient(**{name: getattr(cloud, name) for name in GcpCloud.model_fields})
