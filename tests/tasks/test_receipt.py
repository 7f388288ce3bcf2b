"""The cost of a machine: by the second, at the price of the time, with all its parts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import HOURS_A_MONTH, Machine, Offer
from spotwave.node.contract import Ending, Outcome
from spotwave.tasks.cost.receipt import GIB, Prices, as_markdown, bill_from_cloud, billed, cost_of, machine_usd
from spotwave.tasks.records import Attempt
from tests.tasks.test_expected_cost import BEGUN, an_offer


def a_machine(offer: Offer, number: int = 1, disk_gib: float = 0.0) -> Machine:
    return Machine(
        cloud="here",
        id=f"m{number}",
        region="r",
        offer=offer,
        job_key="sw-0",
        attempt=number,
        launched_at=BEGUN,
        disk_gib=disk_gib,
    )


def an_attempt(number: int, hours: float, offer: Offer) -> Attempt:
    machine, ended = a_machine(offer, number), BEGUN + timedelta(hours=hours)
    return Attempt(
        number=number,
        machine=machine,
        node_run_id=None,
        refusals=[],
        why="",
        outcome=Outcome(Ending.LOST, "gone"),
        ended_at=ended,
        bill=billed(machine, 0.0, ended, [(BEGUN, offer.spot_usd_h)]),
    )


def at(hours: float) -> timedelta:
    return timedelta(hours=hours)


@pytest.mark.parametrize(
    ("prices", "usd"),
    [
        ([(0.0, 0.10)], 0.40),
        ([(0.0, 0.10), (1.0, 0.20), (3.0, 0.40)], 0.10 + 0.40 + 0.40),
        ([(-5.0, 0.10), (1.0, 0.20)], 0.10 + 0.60),
        ([(0.0, 0.10), (9.0, 5.00)], 0.40),
        ([(0.5, 0.10)], 0.40),
    ],
)
def test_every_second_costs_the_price_of_its_time(prices: list[tuple[float, float]], usd: float) -> None:
    held: Prices = [(BEGUN + at(hours), price) for hours, price in prices]
    assert machine_usd(held, BEGUN.timestamp(), 4 * 3600) == pytest.approx(usd)


def test_a_bill_has_every_part() -> None:
    offer = an_offer(disk_usd_gib_month=0.1, ip_usd_h=0.005, egress_usd_gib=0.09)
    bill = billed(a_machine(offer, disk_gib=50.0), 0.0, BEGUN + at(2), [(BEGUN, 0.25)], 3 * GIB)
    assert bill.machine_usd == pytest.approx(0.5)
    assert bill.disk_usd == pytest.approx(2 * 0.1 * 50 / HOURS_A_MONTH)
    assert bill.ip_usd == pytest.approx(0.01)
    assert bill.egress_usd == pytest.approx(0.27)
    assert bill.usd == pytest.approx(0.5 + bill.disk_usd + 0.01 + 0.27)
    assert bill.on_demand_usd == pytest.approx(bill.usd + 2 * (1.0 - 0.25))


def test_short_machine_is_billed_for_the_clouds_minimum() -> None:
    short = billed(a_machine(an_offer(ip_usd_h=0.06)), 60.0, BEGUN + timedelta(seconds=20), [(BEGUN, 0.6)])
    assert (short.seconds, short.billed_s) == (20.0, 60.0)
    assert short.usd == pytest.approx(0.01 + 0.001)
    assert billed(a_machine(an_offer()), 60.0, BEGUN + timedelta(seconds=80), [(BEGUN, 0.6)]).billed_s == 80.0


def test_a_receipt_adds_all_attempts() -> None:
    cost = cost_of([an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(spot_usd_h=0.5))])
    assert (cost["usd"], cost["hours"], cost["on_demand_usd"]) == (2.5, 6.0, 6.0)
    assert cost["parts"] == {"machine_usd": 2.5, "disk_usd": 0.0, "ip_usd": 0.0, "egress_usd": 0.0}


def test_an_unknown_on_demand_price_is_not_zero() -> None:
    cost = cost_of([an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(on_demand_usd_h=None))])
    assert cost["on_demand_usd"] is None


def test_the_receipt_shows_a_row_for_each_machine() -> None:
    attempts = [an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(spot_usd_h=0.5))]
    text = as_markdown(attempts, None, cost_of(attempts))
    assert text.count("here t r") == 2
    assert "2.5 USD in 6 machine hours" in text


class FakeCloud:
    """A cloud that reports an end, a price, or neither."""

    least_billed_s = 0.0

    def __init__(self, end: datetime | str | None = None, price: float | str = 0.5, late: bool = False) -> None:
        self.end, self.price, self.tells_end_late = end, price, late

    def billed_until(self, machine: Machine) -> datetime | None:
        if isinstance(self.end, str):
            raise Throttled(self.end)
        return self.end

    def prices_held(self, machine: Machine, until: datetime) -> Prices:
        if isinstance(self.price, str):
            raise Throttled(self.price)
        return [(machine.launched_at, self.price)]


@pytest.mark.parametrize(
    ("cloud", "gone", "hours", "end_known", "unsettled", "assumed"),
    [
        (FakeCloud(BEGUN + at(1)), BEGUN + at(2), 1, True, False, False),
        (
            FakeCloud(BEGUN + at(3)),
            BEGUN + at(2),
            2,
            True,
            False,
            False,
        ),  # it cannot have ended after it was found gone
        (FakeCloud(BEGUN + at(1)), None, 1, True, False, False),
        (FakeCloud(BEGUN + at(1), late=True), BEGUN + at(2), 1, True, False, False),
        (FakeCloud(None), BEGUN + at(2), 2, False, False, False),  # the cloud never reports the end
        (FakeCloud(None, late=True), BEGUN + at(2), 2, False, True, False),  # the cloud reports the end later
        (FakeCloud(None), None, None, False, True, False),
        (FakeCloud("away"), BEGUN + at(2), 2, False, True, False),
        (FakeCloud(BEGUN + at(1), "away"), BEGUN + at(2), 1, True, True, True),
        (FakeCloud("away", "away"), BEGUN + at(2), 2, False, True, True),
    ],
)
def test_bill_is_unsettled_until_the_cloud_reports(
    cloud: FakeCloud, gone: datetime | None, hours: float | None, end_known: bool, unsettled: bool, assumed: bool
) -> None:
    bill, refused = bill_from_cloud(cloud, a_machine(an_offer()), gone, 0)  # type: ignore[arg-type]
    assert (bill.end_told, bill.unsettled, bill.assumed) == (end_known, unsettled, assumed)
    assert (refused is not None) == ("away" in (cloud.end, cloud.price))
    if hours is not None:
        assert bill.seconds == 3600 * hours


def test_unsettled_receipt_has_a_note() -> None:
    attempts = [an_attempt(number, 2.0, an_offer()) for number in (1, 2)]
    assert "as observed by Spotwave" not in as_markdown(attempts, None, cost_of(attempts))
    assert attempts[1].bill is not None
    unsettled = attempts[1].bill.model_copy(update={"unsettled": True})
    attempts[1] = attempts[1].model_copy(update={"bill": unsettled})
    (note,) = [
        line
        for line in as_markdown(attempts, None, cost_of(attempts)).splitlines()
        if "as observed by Spotwave" in line
    ]
    assert note.startswith("The end of attempt 2 is as observed by Spotwave")
