"""Data classes shared by controller and machine, as Prefect stores them."""

from __future__ import annotations

import pytest

from spotwave.node.contract import Cause, Ending, Lease, Limit, Outcome, Phase, Progress


@pytest.mark.parametrize("length", [0, 80, 400, 449, 450, 451, 3000])
def test_a_lease_with_a_long_reason_fits_an_artifacts_metadata(length: int) -> None:
    """Prefect truncates every value at 500 characters."""
    from prefect.server.schemas.core import Artifact  # not above: each process of the tests imports that

    crash = {"cause": Cause.PROGRAM, "signal": 11, "step": "run_shci"}
    outcome = Outcome(Ending.LOST, "é" * length, sent_bytes=12, **crash)  # type: ignore[arg-type]
    lease = Lease(7, Phase.ENDED, Progress("run_shci", 40.0, "x" * length), "001-00002", outcome)
    kept = Artifact(metadata_=lease.to_metadata()).metadata_
    assert Lease.from_metadata(kept) == lease


def test_there_is_no_lease_before_an_agent_wrote_one() -> None:
    assert Lease.from_metadata(None) is None
    assert Lease.from_metadata({}) is None


def test_an_incomplete_lease_is_refused() -> None:
    pieces = Lease(1, Phase.WORKING, Progress(note="x" * 2000)).to_metadata()
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        Lease.from_metadata({key: piece for key, piece in pieces.items() if key != "lease-2"})


def test_an_outcome_of_an_earlier_version_can_be_read() -> None:
    """Earlier versions had no limit and no times."""
    written = '{"ending": "lost", "reason": "gone", "generation": "001-00002", "sent_bytes": 12, "cause": "memory"}'
    outcome = Outcome.from_json(written)
    assert outcome == Outcome(Ending.LOST, "gone", generation="001-00002", sent_bytes=12, cause=Cause.MEMORY)
    assert (outcome.limit, outcome.notice_at, outcome.saved_at) == (Limit.NONE, None, None)


@pytest.mark.parametrize(
    "field", ['"limit": "all"', '"limit": null', '"notice_at": -1', '"saved_at": true', '"saved_at": 1e300']
)
def test_an_outcome_with_an_invalid_limit_or_time_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"limit|_at"):
        Outcome.from_json(f'{{"ending": "lost", "reason": "gone", {field}}}')
