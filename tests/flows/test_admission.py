"""The gate's policy: first come, first served, within limits for all jobs together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from spotwave.flows.queue.admission import LIMITS_FILE, Claim, InvalidLimits, Limits, admit, claim_of, read_limits

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def claims(count: int, **fields: Any) -> list[Claim]:
    """Return claims a second apart, in a random order."""
    found = [Claim(uuid4(), NOON + timedelta(seconds=number), **fields) for number in range(count)]
    return Random(26).sample(found, count)


def in_order(waiting: list[Claim]) -> list[UUID]:
    return [claim.run_id for claim in sorted(waiting, key=lambda one: one.since)]


def test_without_limits_all_are_admitted_in_order() -> None:
    waiting = claims(1000)
    admission = admit(waiting, [], Limits(), None)
    assert admission.admitted == in_order(waiting)
    assert admission.queued == {}


@pytest.mark.parametrize(
    ("limits", "most", "fields", "admitted", "message"),
    [
        (Limits(), 5, {}, 3, "QuotaJobs: 5 of 5 jobs are running"),
        (Limits(machines=4), None, {}, 2, "QuotaJobs: 4 of 4 machines are in use"),
        (Limits(vcpus=40), None, {"vcpus": 8}, 3, "QuotaVcpus: 40 of 40 vCPUs are in use, 8 more needed"),
        (Limits(vcpus=39), None, {"vcpus": 8}, 2, "QuotaVcpus: 32 of 39 vCPUs are in use, 8 more needed"),
        (
            Limits(usd_per_hour=1.0),
            None,
            {"usd_per_hour": 0.3},
            1,
            "QuotaUsdHour: 0.9 of 1 USD/h are in use, 0.3 more needed",
        ),
    ],
)
def test_limits_hold_for_all_jobs_together(
    limits: Limits, most: int | None, fields: dict[str, Any], admitted: int, message: str
) -> None:
    waiting = claims(100, **fields)
    admission = admit(waiting, claims(2, **fields), limits, most)
    assert admission.admitted == in_order(waiting)[:admitted]
    assert set(admission.queued) == set(in_order(waiting)[admitted:])
    assert set(admission.queued.values()) == {message}


def test_order_holds_under_load() -> None:
    """Jobs of different sizes end one after another: each starts in its turn, and the limit is never exceeded."""
    random = Random(7)
    waiting = [Claim(uuid4(), NOON + timedelta(seconds=n), vcpus=random.choice([1, 2, 8, 32])) for n in range(1000)]
    expected, started, running = in_order(waiting), list[UUID](), list[Claim]()
    by_id = {claim.run_id: claim for claim in waiting}
    while by_id:
        admission = admit(by_id.values(), running, Limits(vcpus=64), 20)
        started += admission.admitted
        running += [by_id.pop(run_id) for run_id in admission.admitted]
        assert sum(claim.vcpus for claim in running) <= 64
        assert len(running) <= 20
        running.pop(random.randrange(len(running)))
    assert started == expected


def test_small_job_does_not_overtake_a_large_one() -> None:
    large, small = Claim(uuid4(), NOON, vcpus=64), Claim(uuid4(), NOON + timedelta(hours=1), vcpus=1)
    running = [Claim(uuid4(), NOON, vcpus=32)]
    assert admit([small, large], running, Limits(vcpus=64), None).admitted == []
    assert admit([small, large], [], Limits(vcpus=65), None).admitted == [large.run_id, small.run_id]


def test_job_larger_than_the_limit_runs_alone() -> None:
    large = Claim(uuid4(), NOON, vcpus=128)
    assert admit([large], [], Limits(vcpus=64), None).admitted == [large.run_id]
    assert admit([large], claims(1), Limits(vcpus=64), None).admitted == []


def test_job_that_has_begun_starts_at_once() -> None:
    """Its controller died: it may have a machine."""
    begun = Claim(uuid4(), NOON + timedelta(hours=1), begun=True)
    admission = admit([*claims(3), begun], claims(2), Limits(machines=2), 2)
    assert admission.admitted == [begun.run_id]
    assert len(admission.queued) == 3


@pytest.mark.parametrize(
    ("parameters", "vcpus", "usd_h"),
    [
        ({}, 1, 0.0),
        ({"requirements": None}, 1, 0.0),
        ({"requirements": {"min_vcpus": 4}}, 4, 0.0),
        ({"requirements": {"min_vcpus": 4, "max_vcpus": 16, "max_usd_h": 0.5}}, 16, 0.5),
        ({"requirements": {"min_vcpus": "many"}}, 1, 0.0),
        ({"requirements": "none"}, 1, 0.0),
    ],
)
def test_claim_is_the_largest_machine_that_the_parameters_allow(
    parameters: dict[str, Any], vcpus: int, usd_h: float
) -> None:
    claim = claim_of(uuid4(), NOON, parameters, begun=False)
    assert (claim.vcpus, claim.usd_per_hour, claim.machines) == (vcpus, usd_h, 1)


def test_limits_are_read_from_one_file(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()
    (tmp_path / LIMITS_FILE).write_text("machines: 40\nvcpus: 256\nusd_per_hour: 12.5\n")
    assert read_limits(tmp_path) == Limits(machines=40, vcpus=256, usd_per_hour=12.5)
    (tmp_path / LIMITS_FILE).write_text("# none\n")
    assert read_limits(tmp_path) == Limits()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("machines: 0", "machines: Input should be greater than or equal to 1"),
        ("machines: many", "machines: Input should be a valid integer"),
        ("usd_per_hour: .inf", "usd_per_hour: "),
        ("jobs: 3", "jobs: Extra inputs are not permitted"),
        ("- 3", "Input should be a valid dictionary"),
        ("machines: [", "while parsing"),
        ("machines: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("[" * 3000, ""),
        ("#" * 100_001, "larger than 100000 bytes"),
    ],
)
def test_invalid_limits_give_one_line(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / LIMITS_FILE).write_text(content)
    with pytest.raises(InvalidLimits) as error:
        read_limits(tmp_path)
    assert problem in str(error.value)
    assert str(error.value).startswith(str(tmp_path / LIMITS_FILE))
    assert len(str(error.value).splitlines()) == 1
