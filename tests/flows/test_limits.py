"""Limits that are too low launch nothing; and the display of costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from spotwave.blocks.budget import Budget
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.costs import costs
from spotwave.tasks.cost import ledger
from tests.conftest import Embedded
from tests.flows.kit import MINIMAL, refused, saved

pytestmark = pytest.mark.slow


def test_too_low_limits_launch_nothing(
    embedded: Embedded,
    client: SyncPrefectClient,
    priced: dict[str, Any],
    ledger_store: SnapshotStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    before = sorted(embedded.home.machines.iterdir())
    broken = tmp_path / "a-file"
    broken.write_text("a file cannot contain a store")
    at = datetime.now(UTC)
    running = ledger.Entry(
        job="sw-111111111111",
        attempt=1,
        project="full",
        state="reserved",
        usd=99.5,
        at=at,
        until=at + timedelta(hours=1),
    )
    ledger.write(ledger_store, running)
    job = {**MINIMAL, **priced, "project": "full"}
    limits = Budget(usd_per_project=100)
    with (
        saved(embedded, "tight", limits, SnapshotStore(url=str(broken / "store"))) as (budget, unreadable),
        embedded.api.in_use(embedded.home),
    ):
        message = refused(**job, budget=budget)
        assert message.startswith("usd_per_project: of 100 USD, 0 are spent by project full and 99.5 are reserved")
        assert "Allow more in the Budget block" in message
        message = refused(**job, max_usd=0.1)
        assert message.startswith("max_usd: of 0.1 USD")
        assert "a machine needs" in message
        message = refused(**{**job, "store": unreadable}, budget=budget)
        assert message.startswith("store: the ledger of spending is unavailable")
        message = refused(**job, continue_job="sw-111111111111")
        assert "there is no job" in message
    assert sorted(embedded.home.machines.iterdir()) == before, "nothing was launched"
    mine = [entry for entry in ledger.read(ledger_store) if entry.project == "full"]
    assert mine == [running], "reservations of refused jobs are withdrawn"


def test_costs_are_shown_and_drawn(embedded: Embedded, client: SyncPrefectClient, tmp_path: Path) -> None:
    store = SnapshotStore(url=str(embedded.home.store))
    at = datetime(2026, 1, 15, tzinfo=UTC)
    fields = {"attempt": 1, "project": "shown", "cloud": "aws", "at": at, "until": at, "on_demand_usd": 5.0}
    entries = [
        ledger.Entry.model_validate({**fields, "job": "sw-222222222222", "state": "ended", "usd": 1.25, "hours": 2.0}),
        ledger.Entry.model_validate({**fields, "job": "sw-333333333333", "state": "reserved", "usd": 3.0}),
    ]
    for entry in entries:
        ledger.write(store, entry)
    picture = tmp_path / "costs.png"
    done = embedded.spotwave("costs", "--by", "project", "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "shown" in line]
    for cell in ("1.2500", "3.0000", "5.0000", "75%", "2 (1 reserved)"):
        assert cell in row
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = json.loads(embedded.spotwave("costs", "--json").stdout)
    assert next(row for row in rows if row["name"] == "2026-01")["usd"] == 1.25
    with embedded.api.in_use(embedded.home), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        state = costs(by="project", return_state=True)
        run_id = state.state_details.flow_run_id
    assert state.is_completed()
    found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id])))
    assert {str(one.key) for one in found} == {"costs", "costs-picture"}
