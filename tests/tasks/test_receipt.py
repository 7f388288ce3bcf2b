"""What a machine has cost: by the second, at the price that held, with all that came with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from blocks.cloud import HOURS_A_MONTH, Machine, Offer
from node.contract import Ending, Outcome
from tasks.job import Attempt
from tasks.receipt import GIB, Prices, as_markdown, billed, cost_of, machine_usd
from tests.tasks.test_money import BEGUN, an_offer


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
