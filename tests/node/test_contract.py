"""What both sides agree on, as Prefect keeps it."""

from __future__ import annotations

import pytest
from prefect.server.schemas.core import Artifact

from spotwave.node.contract import Cause, Ending, Lease, Limit, Outcome, Phase, Progress


@pytest.mark.parametrize("length", [0, 80, 400, 449, 450, 451, 3000])
def test_a_lease_survives_an_artifacts_metadata_however_long_its_reason_is(length: int) -> None:
    """Prefect cuts every value at 500 characters."""
    died = {"cause": Cause.PROGRAM, "signal": 11, "step": "run_shci"}
    outcome = Outcome(Ending.LOST, "é" * length, sent_bytes=12, **died)  # type: ignore[arg-type]
    lease = Lease(7, Phase.ENDED, Progress("run_shci", 40.0, "x" * length), "001-00002", outcome)
    kept = Artifact(metadata_=lease.to_metadata()).metadata_
    assert Lease.from_metadata(kept) == lease


def test_no_lease_where_no_agent_has_spoken() -> None:
    assert Lease.from_metadata(None) is None
    assert Lease.from_metadata({}) is None


def test_half_a_lease_is_none() -> None:
    pieces = Lease(1, Phase.WORKING, Progress(note="x" * 2000)).to_metadata()
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        Lease.from_metadata({key: piece for key, piece in pieces.items() if key != "lease-2"})


def test_an_outcome_of_an_earlier_version_is_read() -> None:
    """It had no limit and no times."""
    written = '{"ending": "lost", "reason": "gone", "generation": "001-00002", "sent_bytes": 12, "cause": "memory"}'
    told = Outcome.from_json(written)
    assert told == Outcome(Ending.LOST, "gone", generation="001-00002", sent_bytes=12, cause=Cause.MEMORY)
    assert (told.limit, told.notice_at, told.saved_at) == (Limit.NONE, None, None)


@pytest.mark.parametrize(
    "field", ['"limit": "all"', '"limit": null', '"notice_at": -1', '"saved_at": true', '"saved_at": 1e300']
)
def test_an_outcome_with_a_limit_or_a_time_that_cannot_be_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"limit|_at"):
        Outcome.from_json(f'{{"ending": "lost", "reason": "gone", {field}}}')
