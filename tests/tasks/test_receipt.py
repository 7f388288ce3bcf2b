"""What a machine has cost: by the second, at the price that held, with all that came with it."""

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
def test_every_second_costs_what_held_then(prices: list[tuple[float, float]], usd: float) -> None:
    held: Prices = [(BEGUN + at(hours), price) for hours, price in prices]
    assert machine_usd(held, BEGUN.timestamp(), 4 * 3600) == pytest.approx(usd)


def test_a_bill_has_every_part() -> None:
    offer = an_offer(disk_usd_gib_month=0.1, ip_usd_h=0.005, egress_usd_gib=0.09)
    told = billed(a_machine(offer, disk_gib=50.0), 0.0, BEGUN + at(2), [(BEGUN, 0.25)], 3 * GIB)
    assert told.machine_usd == pytest.approx(0.5)
    assert told.disk_usd == pytest.approx(2 * 0.1 * 50 / HOURS_A_MONTH)
    assert told.ip_usd == pytest.approx(0.01)
    assert told.egress_usd == pytest.approx(0.27)
    assert told.usd == pytest.approx(0.5 + told.disk_usd + 0.01 + 0.27)
    assert told.on_demand_usd == pytest.approx(told.usd + 2 * (1.0 - 0.25))


def test_a_short_life_is_billed_for_what_the_cloud_bills_at_least() -> None:
    short = billed(a_machine(an_offer(ip_usd_h=0.06)), 60.0, BEGUN + timedelta(seconds=20), [(BEGUN, 0.6)])
    assert (short.seconds, short.billed_s) == (20.0, 60.0)
    assert short.usd == pytest.approx(0.01 + 0.001)
    assert billed(a_machine(an_offer()), 60.0, BEGUN + timedelta(seconds=80), [(BEGUN, 0.6)]).billed_s == 80.0


def test_a_receipt_adds_all_attempts() -> None:
    told = cost_of([an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(spot_usd_h=0.5))])
    assert (told["usd"], told["hours"], told["on_demand_usd"]) == (2.5, 6.0, 6.0)
    assert told["parts"] == {"machine_usd": 2.5, "disk_usd": 0.0, "ip_usd": 0.0, "egress_usd": 0.0}


def test_an_unknown_on_demand_price_is_not_zero() -> None:
    told = cost_of([an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(on_demand_usd_h=None))])
    assert told["on_demand_usd"] is None


def test_the_receipt_shows_a_row_for_each_machine() -> None:
    attempts = [an_attempt(1, 2.0, an_offer()), an_attempt(2, 4.0, an_offer(spot_usd_h=0.5))]
    told = as_markdown(attempts, None, cost_of(attempts))
    assert told.count("here t r") == 2
    assert "2.5 USD in 6 machine hours" in told


class Teller:
    """A cloud that tells an end, a price, or neither."""

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
    ("teller", "gone", "hours", "told", "unsettled", "assumed"),
    [
        (Teller(BEGUN + at(1)), BEGUN + at(2), 1, True, False, False),
        (Teller(BEGUN + at(3)), BEGUN + at(2), 2, True, False, False),  # it cannot have ended after we saw that it had
        (Teller(BEGUN + at(1)), None, 1, True, False, False),
        (Teller(BEGUN + at(1), late=True), BEGUN + at(2), 1, True, False, False),
        (Teller(None), BEGUN + at(2), 2, False, False, False),  # it will not tell
        (Teller(None, late=True), BEGUN + at(2), 2, False, True, False),  # it will
        (Teller(None), None, None, False, True, False),
        (Teller("away"), BEGUN + at(2), 2, False, True, False),
        (Teller(BEGUN + at(1), "away"), BEGUN + at(2), 1, True, True, True),
        (Teller("away", "away"), BEGUN + at(2), 2, False, True, True),
    ],
)
def test_what_is_not_told_yet_is_asked_for_again(
    teller: Teller, gone: datetime | None, hours: float | None, told: bool, unsettled: bool, assumed: bool
) -> None:
    bill, refused = bill_from_cloud(teller, a_machine(an_offer()), gone, 0)  # type: ignore[arg-type]
    assert (bill.end_told, bill.unsettled, bill.assumed) == (told, unsettled, assumed)
    assert (refused is not None) == ("away" in (teller.end, teller.price))
    if hours is not None:
        assert bill.seconds == 3600 * hours


def test_a_receipt_that_is_not_settled_says_so() -> None:
    attempts = [an_attempt(number, 2.0, an_offer()) for number in (1, 2)]
    assert "as observed by Spotwave" not in as_markdown(attempts, None, cost_of(attempts))
    assert attempts[1].bill is not None
    unsettled = attempts[1].bill.model_copy(update={"unsettled": True})
    attempts[1] = attempts[1].model_copy(update={"bill": unsettled})
    (said,) = [
        line
        for line in as_markdown(attempts, None, cost_of(attempts)).splitlines()
        if "as observed by Spotwave" in line
    ]
    assert said.startswith("The end of attempt 2 is as observed by Spotwave")
