"""The estimate of a drill, its verdict and its report."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotwave.blocks.models import InterruptionMethod, Machine, Offer
from spotwave.node.contract import OUTCOME_FILE, Ending, Outcome
from spotwave.tasks.drill.estimate import DrillEstimate, NoDrill
from spotwave.tasks.drill.interrupt import ForcedInterruption
from spotwave.tasks.drill.report import DrillOutcome, Leg, collected_outcome, report, times
from spotwave.tasks.records import Attempt

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "sw-0123456789ab"
PROMISE = DrillEstimate(
    cloud="some-cloud/mine",
    machine="a.small in here-1",
    minutes=30.0,
    max_usd_h=0.02,
    beside_usd_h=0.01,
    interruption_method=InterruptionMethod("taken back", notice=True, within_s=120.0, usd=0.3),
)
FORCED = ForcedInterruption(
    attempt=1, asked_at=NOON + timedelta(seconds=70), generation="001-00001", token="t", seconds=5
)
RESULT = {"token": "t", "resumed_from": "001-00002", "resumed_at": 9, "seconds": 12}


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def attempt(number: int, begun: float, ended: float, ending: Ending) -> Attempt:
    offer = Offer(
        cloud="some",
        instance_type="a.small",
        region="here",
        zone="here-1",
        family="a",
        vcpus=1,
        cores=1,
        memory_gib=2,
        architecture="x86_64",
        spot_usd_h=0.018,
        notice_s=120,
        ip_usd_h=0.005,
        seen_at=NOON,
    )
    machine = Machine(
        cloud="some",
        id=f"i-{number}",
        region="here",
        offer=offer,
        job_key=KEY,
        attempt=number,
        launched_at=at(begun),
    )
    return Attempt(
        number=number,
        machine=machine,
        node_run_id=None,
        refusals=[],
        why="cheapest",
        outcome=Outcome(ending, "because | so"),
        ended_at=at(ended),
    )


PASSED = DrillOutcome(
    promise=PROMISE,
    attempts=[attempt(1, 0, 100, Ending.INTERRUPTED), attempt(2, 110, 200, Ending.COMPLETED)],
    legs=[
        Leg(launched_at=at(0), working_at=at(40), finished_at=at(81), gone_at=at(100), saved_in_s=0.75),
        Leg(launched_at=at(110), working_at=at(150), finished_at=at(160), gone_at=at(200), saved_in_s=None),
    ],
    forced=FORCED,
    result=RESULT,
    left=[],
    clean_at=at(205),
)


def test_estimate_is_the_most_expensive_case() -> None:
    assert PROMISE.machines_usd == pytest.approx(0.015)
    assert PROMISE.usd == pytest.approx(0.315)
    assert PROMISE.requirements.max_usd_h == 0.02
    assert PROMISE.wait_s > PROMISE.interruption_method.within_s
    assert PROMISE.line.startswith("some-cloud/mine: 0.3150 USD at most: 30 minutes of machines")
    assert "0.30 USD for the interruption" in PROMISE.line
    assert PROMISE.capped(0.0).max_usd_h == 0.0
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(NoDrill, match="max_usd_h: "):
            PROMISE.capped(wrong)


@pytest.mark.parametrize(
    ("notice_at", "saved_at", "seconds"),
    [(100.25, 101.0, 0.75), (100.0, 99.0, None), (100.0, None, None), (None, 99.0, None), (None, None, None)],
)
def test_time_from_notice_to_saved_checkpoint(
    notice_at: float | None, saved_at: float | None, seconds: float | None
) -> None:
    assert Outcome(Ending.INTERRUPTED, "so", notice_at=notice_at, saved_at=saved_at).saved_in_s == seconds


def test_collected_outcome_of_the_agent_is_read(tmp_path: Path) -> None:
    """The cloud may have reported the end of the attempt first."""
    assert collected_outcome(tmp_path) is None
    written = Outcome(Ending.INTERRUPTED, "so", notice_at=100.0, saved_at=102.5)
    written.write(tmp_path / OUTCOME_FILE)
    assert collected_outcome(tmp_path) == written
    (tmp_path / OUTCOME_FILE).write_text('{"ending": "interrupted", "reason": "so", "notice_at": "soon"}')
    assert collected_outcome(tmp_path) is None


def test_report_of_a_passed_drill() -> None:
    assert PASSED.problem is None
    assert times(PASSED) == [
        ("launch of 1, until it worked", 40.0),
        ("notice to 1, until its checkpoint was safe", 0.75),
        ("interruption of 1 asked for, until it was gone", 30.0),
        ("loss of 1, until 2 worked", 50.0),
        ("launch of 2, until it worked", 40.0),
        ("end of the work, until nothing was left", 45.0),
    ]
    text = report(PASSED)
    assert "**Passed**" in text
    assert "Saved before: `001-00001`, 5 s counted." in text
    assert "Resumed from: `001-00002`, 9 s counted." in text
    spent = 190 / 3600 * 0.023 + 0.3
    assert f"Total: {spent:.4f} USD, of at most 0.3150 USD" in text
    assert "| 1 | some a.small here-1 | 0.0278 | 0.0006 | interrupted | because \\| so |" in text
    assert "Nothing is left" in text
    assert "does not test how much time a notice" not in text


def test_report_mentions_a_missing_notice() -> None:
    ended = InterruptionMethod("terminated by Spotwave", notice=False, within_s=300.0)
    quiet = replace(PROMISE, interruption_method=ended)
    assert "does not test how much time a notice leaves" in report(replace(PASSED, promise=quiet))


def test_unforced_interruption_passes_too() -> None:
    real = replace(PASSED, forced=None)
    assert real.problem is None
    assert "The cloud interrupted the machine on its own" in report(real)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": ["disk vol-1", "ip 10.0.0.1"]}, "resources are left: disk vol-1, ip 10.0.0.1"),
        ({"attempts": PASSED.attempts[:1], "legs": PASSED.legs[:1]}, "no interruption came within 7 minutes"),
        ({"attempts": PASSED.attempts[:1], "legs": PASSED.legs[:1], "forced": None}, "the machine was not interrupted"),
        ({"result": RESULT | {"resumed_from": None}}, "started from scratch"),
        ({"result": RESULT | {"token": "another"}}, "did not continue from the saved checkpoint (001-00001)"),
        ({"result": RESULT | {"resumed_at": 4}}, "did not continue from the saved checkpoint (001-00001)"),
    ],
)
def test_failed_drill_reports_the_problem(changes: dict[str, object], message: str) -> None:
    drilled = replace(PASSED, **changes)  # type: ignore[arg-type]
    assert drilled.problem is not None
    assert re.search(re.escape(message), drilled.problem), drilled.problem
    text = report(drilled)
    assert f"**Not passed**: {drilled.problem}" in text
    assert ("Nothing is left" in text) is not bool(drilled.left)
