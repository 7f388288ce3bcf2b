"""Bills computed from the blocks agree with the emulated clouds' ledgers within 2 %."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import Capacity
from spotwave.blocks.models import Machine, Offer
from spotwave.tasks.cost.receipt import billed
from spotwave.tasks.records import Bill
from tests.blocks import aws_kit
from tests.blocks.conformance.wing import RentedWing
from tests.blocks.machine_kit import brief, until
from tests.emulators.aws import AwsEmulator, fault, refused
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.ledger import Ledger


@dataclass(frozen=True)
class Rented:
    """One machine, launched by a real block on an emulator."""

    cloud: Cloud
    machine: Machine
    ledger: Ledger

    def ended(self) -> tuple[Bill, float]:
        """Terminate the machine and return (computed bill, cost in the ledger)."""
        self.cloud.terminate(self.machine)
        return self.as_billed()

    def as_billed(self) -> tuple[Bill, float]:
        gone = datetime.now(UTC)
        until = self.cloud.billed_until(self.machine)
        ended = gone if until is None else min(gone, until)
        bill = billed(self.machine, self.cloud.least_billed_s, ended, self.cloud.prices_held(self.machine, ended))
        items = self.ledger.of_machine(self.machine.id)
        assert {"machine", "disk", "ip"} <= {item.kind for item in items}
        assert all(item.ended is not None for item in items)
        return bill, sum(item.usd for item in items)

    def lived(self, seconds: float) -> None:
        """Move the launch into the past."""
        for item in self.ledger.of_machine(self.machine.id):
            item.begun -= seconds


def of_listed_price(cloud: Cloud, offer: Offer) -> Machine:
    """Launch a machine at the market's current price."""
    (found,) = cloud.market().frame.filter(instance_type=offer.instance_type, zone=offer.zone).to_dicts()
    prices = ("spot_usd_h", "disk_usd_gib_month", "ip_usd_h", "egress_usd_gib")
    return cloud.launch(offer.model_copy(update={name: found[name] for name in prices}), brief())[0]


def aged(machine: Machine, seconds: float) -> Machine:
    begun = datetime.fromtimestamp(machine.launched_at.timestamp() - seconds, UTC)
    return machine.model_copy(update={"launched_at": begun})


def test_bill_agrees_with_the_cloud_and_ends_with_the_machine(rented: RentedWing) -> None:
    cloud = rented.block()
    young = of_listed_price(cloud, rented.offer)
    has_market = Rented(cloud, aged(young, 300), rented.emulator.ledger)
    has_market.lived(300)
    bill, cost = has_market.ended()
    assert bill.usd == pytest.approx(cost, rel=0.02)
    assert bill.disk_usd > 0
    until(lambda: datetime.now(UTC) > bill.ended_at + timedelta(seconds=0.05))
    assert has_market.as_billed()[0].ended_at == bill.ended_at, "it does not depend on the time of the call"


def test_aws_bills_a_changed_price_from_the_change_on(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    young = of_listed_price(cloud, aws_kit.offer())
    has_market = Rented(cloud, aged(young, 7200), aws.ledger)
    has_market.lived(7200)
    aws.reprice(young.id, 10 * young.offer.spot_usd_h)
    (machine,) = aws.ledger.items("machine")
    # The price changes an hour before the end.
    machine.moves = [(at - 3600, price) for at, price in machine.moves]
    moved = aws.world.history["us-east-1"][-1]
    moved["Timestamp"] = datetime.fromtimestamp(machine.moves[0][0], UTC)
    bill, cost = has_market.ended()
    assert bill.usd == pytest.approx(cost, rel=0.02)
    assert bill.machine_usd == pytest.approx((1 + 10) * young.offer.spot_usd_h, rel=0.02)
    assert len(bill.prices) == 2


def test_aws_bills_at_least_a_minute(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    bill, cost = Rented(cloud, of_listed_price(cloud, aws_kit.offer()), aws.ledger).ended()
    assert bill.billed_s == 60
    assert bill.usd == pytest.approx(cost, rel=0.02)


@pytest.mark.parametrize(("seconds", "free"), [(1800, True), (5400, False)])
def test_aws_does_not_bill_an_interruption_in_the_first_hour(aws: AwsEmulator, seconds: int, free: bool) -> None:
    cloud = cloud_at(aws, attempts=2)
    young = of_listed_price(cloud, aws_kit.offer())
    has_market = Rented(cloud, aged(young, seconds), aws.ledger)
    has_market.lived(seconds)
    aws.fleet.instances[young.id].launched_at = has_market.machine.launched_at
    aws.fleet.lose(young.id)
    until, ended = cloud.billed_until(young), aws.ledger.of_machine(young.id)[0].ended
    assert until is not None
    assert ended is not None
    assert until.timestamp() == pytest.approx(ended, abs=1), "its spot request has the time, to the second"
    bill, cost = has_market.ended()
    assert (bill.machine_usd == 0) is free
    assert bill.disk_usd > 0
    assert bill.usd == pytest.approx(cost, rel=0.02)


def test_aws_without_a_price_history_raises(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=2)
    machine = of_listed_price(cloud, aws_kit.offer())
    aws.fail(fault("DescribeSpotPriceHistory", refused("InsufficientInstanceCapacity")))
    with pytest.raises(Capacity):
        cloud.prices_held(machine, datetime.now(UTC))
