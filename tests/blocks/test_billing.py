"""What the blocks say was billed, against what the emulated clouds have billed: within 2 %."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import Capacity
from spotwave.blocks.models import Machine
from spotwave.tasks.cost.receipt import billed
from spotwave.tasks.records import Bill
from tests.blocks import aws_kit
from tests.blocks.machine_kit import brief, until
from tests.emulators import gcp_cloud
from tests.emulators.aws import AwsEmulator, fault, refused
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block, emulated
from tests.emulators.azure_kit import offer as azure_offer
from tests.emulators.gcp import GcpEmulator
from tests.emulators.ledger import Ledger


@dataclass(frozen=True)
class Rented:
    """One machine, from a real block on an emulator."""

    cloud: Cloud
    machine: Machine
    ledger: Ledger

    def ended(self) -> tuple[Bill, float]:
        """(what we say that it cost, what the cloud billed), after its end."""
        self.cloud.terminate(self.machine)
        return self.as_billed()

    def as_billed(self) -> tuple[Bill, float]:
        gone = datetime.now(UTC)
        until = self.cloud.billed_until(self.machine)
        ended = gone if until is None else min(gone, until)
        told = billed(self.machine, self.cloud.least_billed_s, ended, self.cloud.prices_held(self.machine, ended))
        items = self.ledger.of_machine(self.machine.id)
        assert {"machine", "disk", "ip"} <= {item.kind for item in items}
        assert all(item.ended is not None for item in items)
        return told, sum(item.usd for item in items)

    def lived(self, seconds: float) -> None:
        """As if it had been launched so long ago."""
        for item in self.ledger.of_machine(self.machine.id):
            item.begun -= seconds


def of_listed_price(cloud: Cloud, instance_type: str) -> Machine:
    """Launched at the price that the market shows."""
    (found,) = [
        one
        for one in cloud.market().frame.filter(instance_type=instance_type).to_dicts()
        if one["zone"] in ("us-east-1a", "us-central1-a", "eastus-1")
    ]
    kept = {"aws": aws_kit.offer, "gcp": gcp_cloud.offer, "azure": azure_offer}[cloud.kind]()
    fields = ("spot_usd_h", "disk_usd_gib_month", "ip_usd_h", "egress_usd_gib", "zone", "instance_type")
    return cloud.launch(kept.model_copy(update={name: found[name] for name in fields}), brief())


def aged(machine: Machine, seconds: float) -> Machine:
    begun = datetime.fromtimestamp(machine.launched_at.timestamp() - seconds, UTC)
    return machine.model_copy(update={"launched_at": begun})


def test_aws_at_a_price_that_moved_on_the_way(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    young = of_listed_price(cloud, "c7i.large")
    has_market = Rented(cloud, aged(young, 7200), aws.ledger)
    has_market.lived(7200)
    aws.reprice(young.id, 10 * young.offer.spot_usd_h)
    (machine,) = aws.ledger.items("machine")
    # The move, an hour before the end.
    machine.moves = [(at - 3600, price) for at, price in machine.moves]
    moved = aws.world.history["us-east-1"][-1]
    moved["Timestamp"] = datetime.fromtimestamp(machine.moves[0][0], UTC)
    told, cost = has_market.ended()
    assert told.usd == pytest.approx(cost, rel=0.02)
    assert told.machine_usd == pytest.approx((1 + 10) * young.offer.spot_usd_h, rel=0.02)
    assert len(told.prices) == 2


def test_aws_bills_a_minute_at_least(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    told, cost = Rented(cloud, of_listed_price(cloud, "c7i.large"), aws.ledger).ended()
    assert told.billed_s == 60
    assert told.usd == pytest.approx(cost, rel=0.02)


@pytest.mark.parametrize(("seconds", "free"), [(1800, True), (5400, False)])
def test_aws_gives_away_what_it_takes_back_within_the_first_hour(aws: AwsEmulator, seconds: int, free: bool) -> None:
    cloud = cloud_at(aws, attempts=2)
    young = of_listed_price(cloud, "c7i.large")
    has_market = Rented(cloud, aged(young, seconds), aws.ledger)
    has_market.lived(seconds)
    aws.fleet.instances[young.id].launched_at = has_market.machine.launched_at
    aws.fleet.lose(young.id)
    until, ended = cloud.billed_until(young), aws.ledger.of_machine(young.id)[0].ended
    assert until is not None
    assert ended is not None
    assert until.timestamp() == pytest.approx(ended, abs=1), "its spot request tells, to the second"
    told, cost = has_market.ended()
    assert (told.machine_usd == 0) is free
    assert told.disk_usd > 0
    assert told.usd == pytest.approx(cost, rel=0.02)


def test_aws_that_does_not_tell_its_prices_says_so(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    machine = of_listed_price(cloud, "c7i.large")
    aws.fail(fault("DescribeSpotPriceHistory", refused("InsufficientInstanceCapacity")))
    with pytest.raises(Capacity):
        cloud.prices_held(machine, datetime.now(UTC))


def test_gcp() -> None:
    with GcpEmulator(boots=False) as google:
        cloud = gcp_cloud.cloud_at(google.url)
        young = of_listed_price(cloud, "n2-standard-4")
        has_market = Rented(cloud, aged(young, 300), google.ledger)
        has_market.lived(300)
        told, cost = has_market.ended()
        assert told.usd == pytest.approx(cost, rel=0.02)
        # It ended when the cloud says so, not when somebody asks.
        limit = time.time() + 30
        again = has_market.as_billed()[0]
        assert again.ended_at == told.ended_at
        assert time.time() < limit


def test_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as azure:
        azure.resources.changes.lag_s = 0.0
        cloud = block(azure)
        young = of_listed_price(cloud, "Standard_D2s_v5")
        has_market = Rented(cloud, aged(young, 300), azure.ledger)
        has_market.lived(300)
        told, cost = has_market.ended()
        assert told.usd == pytest.approx(cost, rel=0.02)
        assert told.disk_usd > 0
        until(lambda: datetime.now(UTC) > told.ended_at + timedelta(seconds=0.05))
        again = has_market.as_billed()[0]
        assert again.ended_at == told.ended_at, "it ended when the cloud says so, not when somebody asks"
