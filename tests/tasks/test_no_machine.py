"""A round without a machine: what the job waits for, when it does not wait, pauses, and reservations."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotwave.flows.loop.placement_rounds import ENV_LONGEST_PAUSE, FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_s
from spotwave.node.contract import Limit
from spotwave.tasks.cost.quote import hourly_usd
from spotwave.tasks.cost.reserve import not_allowed
from spotwave.tasks.machine.no_machine import all_refused
from spotwave.tasks.records import Allowance, Refusal
from tests.tasks.test_quote import a_job
from tests.tasks.test_select import offer


def refusal(kind: str, lasting: bool = False) -> Refusal:
    return Refusal(offer=offer("a"), kind=kind, reason="cloud message", lasting=lasting)


@pytest.mark.parametrize(
    ("refusals", "reason"),
    [
        ([refusal("capacity")], "NoOffer"),
        ([refusal("quota"), refusal("quota")], "CloudQuota"),
        ([refusal("quota"), refusal("capacity")], "NoOffer"),
        ([refusal("quota"), refusal("closed", lasting=True)], "CloudQuota"),
        ([refusal("throttled"), refusal("unfit", lasting=True)], "NoOffer"),
        ([refusal("closed", lasting=True), refusal("unfit", lasting=True)], None),
        ([refusal("limit", lasting=True)], None),
        ([refusal("unfit", lasting=True), refusal("reserve")], "NoOffer"),
    ],
)
def test_reason_for_waiting_follows_from_the_refusals(refusals: list[Refusal], reason: str | None) -> None:
    missed = all_refused(refusals)
    assert missed.reason == reason
    assert missed.said.startswith("no machine available:")
    assert "cloud message" in missed.said
    assert "\n" not in missed.said


def test_refused_launch_that_may_have_succeeded_is_unsure() -> None:
    assert not all_refused([refusal("capacity"), refusal("quota")]).unsure
    assert all_refused([refusal("capacity"), refusal("throttled")]).unsure


def test_pauses_grow_up_to_a_cap_that_can_be_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = [pause_s(number) for number in range(12)]
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == pause_s(10**6) == LONGEST_PAUSE_S
    monkeypatch.setenv(ENV_LONGEST_PAUSE, "2.5")
    assert pause_s(0) == pause_s(5) == 2.5


def test_offer_above_the_reservation_is_left_to_a_later_round(tmp_path: Path) -> None:
    """Otherwise concurrent jobs would together cost more than their limit."""
    job = a_job(results=tmp_path)
    likely, dear = offer("a", usd=0.1), offer("b", usd=1.0)
    reserved = hourly_usd(likely, job.requirements.disk_gib) * 10
    end = 1000.0 + 10 * 3600
    allowance = Allowance(usd=100.0, limit=Limit.MAX_USD, said="max_usd: 100", at=1000.0, reserved_usd=reserved)
    assert not_allowed(allowance, job, likely, end, end) is None
    refused = not_allowed(allowance, job, dear, end, end)
    assert refused is not None
    assert (refused.kind, refused.lasting) == ("reserve", False)
    assert not_allowed(Allowance(at=1000.0), job, dear, end, end) is None
    short = not_allowed(allowance, job, dear, 1010.0, end)
    assert short is not None
    assert (short.kind, short.lasting) == ("limit", True)
