"""A cost cap that stops a run in time, its continuation, and quotes that need approval."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType

from spotwave.blocks.budget import Budget
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.housekeeping.approval_timeout import end_unanswered_approvals
from spotwave.tasks.cost import ledger
from tests.conftest import Embedded
from tests.flows.conftest import Start
from tests.flows.kit import (
    ASKS_S,
    MINIMAL,
    USD_H,
    Job,
    endings,
    eventually,
    local_cloud,
    repeated_scf,
    same_energies,
    saved,
)
from tests.flows.logs import messages

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=3), pytest.mark.timeout(600)]

CAP = 1.5


def machines_of(run: Job) -> list[Path]:
    return list(run.home.machines.glob(f"{run.key}-*"))


@pytest.fixture(scope="module")
def capped(early: Start, priced: dict[str, Any], ledger_store: SnapshotStore) -> Job:
    """A job that stops long before its machine's deadline; other tests run meanwhile."""
    run = early("run_shci", **MINIMAL, **priced, max_usd=CAP, work_core_h=0.5, project="dimers")
    machine = run.machine()
    assert machine.deadline is not None
    assert (machine.deadline - machine.launched_at.timestamp()) * USD_H / 3600 < CAP
    (reserved,) = ledger.of_job(ledger.read(ledger_store), run.key)
    assert (reserved.state, reserved.project) == ("reserved", "dimers")
    assert reserved.usd == pytest.approx(CAP)
    run.waits()
    run.saved()
    return run


def test_quote_above_the_threshold_waits_for_approval(
    embedded: Embedded,
    client: SyncPrefectClient,
    job: Start,
    capped: Job,
    priced: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three jobs at once besides the capped one: one is approved, one is answered without a tick, one gets no answer.

    The question stays as it was asked, even if the Budget block changes; and the approved cost is a cap.
    """
    with saved(embedded, "asks", Budget(approve_above_usd=0.5)) as (budget,):
        asked = {**MINIMAL, **priced, "work_core_h": 1.0, "budget": budget}
        runs = [job(**asked) for _ in range(3)]
        approved, refused, forgotten = runs
        for run in runs:
            eventually("it waits", lambda run=run: run.run.state_type is StateType.PAUSED or None, every_s=ASKS_S)
        assert all(machines_of(run) == [] for run in runs), "nothing is launched before the answer"
        with embedded.api.in_use(embedded.home):
            Budget().save("asks", overwrite=True)
        client.resume_flow_run(refused.run_id, run_input={})
        state = refused.finished()
        assert (state.is_failed(), state.message) == (
            True,
            "approval: refused; nothing was launched, and nothing was spent",
        )
        client.resume_flow_run(approved.run_id, run_input={"approve": True})
        monkeypatch.setattr("spotwave.tasks.api.now", lambda: datetime.now(UTC) + timedelta(hours=25))
        end_unanswered_approvals(client)
        monkeypatch.undo()
        state = forgotten.finished()
        assert state.is_failed()
        assert (state.message or "").startswith("approval: not approved in time")
        result = approved.completed()
    assert result["cost"]["quote"]["usd_p90"] > 0.5
    most = f"{24 * USD_H:.4g}"
    capped_at = f"attempt 1 may cost {most} USD (approved: of the approved {most} USD"
    assert any(line.startswith(capped_at) for line in messages(client, approved.run_id))
    assert machines_of(refused) == machines_of(forgotten) == []
    assert {machine.job_key for machine in local_cloud(embedded.home).find()} <= {capped.key}


def test_cap_stops_a_run_in_time_and_a_higher_one_continues_it(
    embedded: Embedded, client: SyncPrefectClient, capped: Job, priced: dict[str, Any], ledger_store: SnapshotStore
) -> None:
    """The machine alone keeps the limit here. The job is continued from the terminal as its last line says; `--yes`
    answers the approval that the Budget block requires."""
    run = capped
    state = run.finished()
    assert state.is_failed()
    message = state.message or ""
    assert message.startswith("max_usd: of 1.5 USD"), message
    for part in ("Spent: ", "the rest would cost about", "checkpoint 001-", f"continue_job={run.key}"):
        assert part in message
    receipt = json.loads((run.home.results / run.key / "receipt.json").read_text())
    assert [attempt["ending"] for attempt in receipt["attempts"]] == ["deadline"]
    assert 0.3 < receipt["cost"]["usd"] < CAP
    assert receipt["cost"]["quote"]["work"] == "given"
    (ended,) = ledger.of_job(ledger.read(ledger_store), run.key)
    assert (ended.state, ended.usd) == ("ended", pytest.approx(receipt["cost"]["usd"], abs=1e-6))
    artifacts = run.artifacts_of(run.run_id)
    assert "P90" in str(artifacts["quote"].data) or "nine in ten" in str(artifacts["quote"].data)
    assert "deadline" in str(artifacts["receipt"].data)

    on = {**MINIMAL, **priced, "max_usd": CAP + 20, "work_core_h": 0.5, "continue_job": run.key, "project": "dimers"}
    with saved(embedded, "would-ask", Budget(approve_above_usd=0.01)) as (budget,):
        given = [
            word for name, value in {**on, "budget": budget}.items() for word in ("-p", f"{name}={as_text(value)}")
        ]
        done = embedded.spotwave("run", "shci/water-dimer", "--yes", *given)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    page = re.search(r"/runs/flow-run/([0-9a-f-]{36})", done.stdout)
    assert page is not None, done.stdout
    again = Job(embedded.home, client, UUID(page[1]))
    result = again.completed()
    same_energies(result)
    assert endings(result) == ["completed"]
    assert not repeated_scf(again, 1)
    assert result["cost"]["quote"]["usd_p90"] > 0
    (note,) = ledger.of_job(ledger.read(ledger_store), again.key)
    assert note.usd == pytest.approx(result["cost"]["usd"], abs=1e-6)
    kept = json.loads((again.home.results / again.key / "receipt.json").read_text())
    assert kept["cost"]["before_usd"] == pytest.approx(ended.usd, abs=1e-6)
    assert (run.remote / "checkpoint/LATEST").exists(), "the earlier job is unchanged"


def as_text(value: Any) -> str:
    """Return a parameter as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)
