"""A cap that stops a run in time, its resume, limits that launch nothing, and quotes that wait for a yes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from blocks.budget import Budget
from blocks.local.block import LocalCloud
from blocks.snapshots import SnapshotStore
from flows.costs import costs
from flows.shci import shci
from flows.unanswered import end_unanswered
from tasks import spending
from tests.conftest import MANY_VCPUS, Embedded
from tests.flows.conftest import Start
from tests.flows.kit import ASKS_S, MINIMAL, Job, eventually, local_cloud, saved
from tests.flows.logs import messages
from tests.flows.test_faults import endings, repeated_scf, same_energies

pytestmark = [pytest.mark.slow(minutes=3), pytest.mark.timeout(600)]

USD_H = 36.0  # a cent a second
CAP = 1.5
ON_ONE = {"requirements": {"max_vcpus": 1}}


@pytest.fixture(scope="module")
def priced(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Parameters of a job whose machines cost something, with a ledger of its own."""
    cloud = LocalCloud(folder=str(embedded.home.machines), prices={"local-1": USD_H}, pretend_vcpus=MANY_VCPUS)
    store = SnapshotStore(url=str(tmp_path_factory.mktemp("ledger")))
    with saved(embedded, "priced", cloud, store) as (its_cloud, its_store):
        yield {"clouds": [its_cloud], "store": its_store, **ON_ONE}


@pytest.fixture(scope="module")
def ledger(embedded: Embedded, priced: dict[str, Any]) -> SnapshotStore:
    with embedded.api.in_use(embedded.home):
        found = SnapshotStore.load("priced")
    assert isinstance(found, SnapshotStore)
    return found


def machines_of(run: Job) -> list[Path]:
    return list(run.home.machines.glob(f"{run.key}-*"))


@pytest.fixture(scope="module")
def capped(early: Start, priced: dict[str, Any], ledger: SnapshotStore) -> Job:
    """A job that stops long before its machine comes to its time; other tests go on meanwhile."""
    run = early("run_shci", **MINIMAL, **priced, max_usd=CAP, work_core_h=0.5, project="dimers")
    machine = run.machine()
    assert machine.deadline is not None
    assert (machine.deadline - machine.launched_at.timestamp()) * USD_H / 3600 < CAP
    (reserved,) = spending.of_job(spending.read(ledger), run.key)
    assert (reserved.state, reserved.project) == ("reserved", "dimers")
    assert reserved.usd == pytest.approx(CAP)
    run.waits()
    run.saved()
    return run


def test_a_quote_above_the_threshold_waits_for_a_yes(
    embedded: Embedded,
    client: SyncPrefectClient,
    job: Start,
    capped: Job,
    priced: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three at once, and the capped job beside: one is approved, one is answered without a tick, one is forgotten.

    What was asked stands, whatever the Budget block says by the time of the answer; and what was approved is a cap.
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
        monkeypatch.setattr("tasks.api.now", lambda: datetime.now(UTC) + timedelta(hours=25))
        end_unanswered(client)
        monkeypatch.undo()
        state = forgotten.finished()
        assert state.is_failed()
        assert (state.message or "").startswith("approval: nobody approved in time")
        result = approved.completed()
    assert result["cost"]["quote"]["usd_p90"] > 0.5
    most = f"{24 * USD_H:.4g}"
    capped_at = f"attempt 1 may cost {most} USD (approved: of the {most} USD that were approved"
    assert any(line.startswith(capped_at) for line in messages(client, approved.run_id))
    assert machines_of(refused) == machines_of(forgotten) == []
    assert {machine.job_key for machine in local_cloud(embedded.home).find()} <= {capped.key}


@pytest.mark.thorough
def test_a_cap_stops_a_run_in_time_and_a_higher_one_continues_it(
    embedded: Embedded, client: SyncPrefectClient, capped: Job, priced: dict[str, Any], ledger: SnapshotStore
) -> None:
    """From here on nobody but the machine itself keeps the time. It is continued as its last line says, from the
    terminal; `--yes` answers what the Budget block would ask."""
    run = capped
    state = run.finished()
    assert state.is_failed()
    message = state.message or ""
    assert message.startswith("max_usd: of 1.5 USD"), message
    for said in ("Spent: ", "the rest would cost about", "checkpoint 001-", f"continue_job={run.key}"):
        assert said in message
    told = json.loads((run.home.results / run.key / "receipt.json").read_text())
    assert [attempt["ending"] for attempt in told["attempts"]] == ["deadline"]
    assert 0.3 < told["cost"]["usd"] < CAP
    assert told["cost"]["quote"]["work"] == "given"
    (ended,) = spending.of_job(spending.read(ledger), run.key)
    assert (ended.state, ended.usd) == ("ended", pytest.approx(told["cost"]["usd"], abs=1e-6))
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
    (note,) = spending.of_job(spending.read(ledger), again.key)
    assert note.usd == pytest.approx(result["cost"]["usd"], abs=1e-6)
    kept = json.loads((again.home.results / again.key / "receipt.json").read_text())
    assert kept["cost"]["before_usd"] == pytest.approx(ended.usd, abs=1e-6)
    assert (run.remote / "checkpoint/LATEST").exists(), "nothing of the earlier job was touched"


def as_text(value: Any) -> str:
    """Of a parameter, as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)


def refusal(**parameters: Any) -> str:
    """The message of a job that fails before anything is launched."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        state = shci(**parameters, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    return state.message


def test_limits_that_leave_too_little_launch_nothing(
    embedded: Embedded,
    client: SyncPrefectClient,
    priced: dict[str, Any],
    ledger: SnapshotStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    before = sorted(embedded.home.machines.iterdir())
    broken = tmp_path / "a-file"
    broken.write_text("a store cannot lie below a file")
    at = datetime.now(UTC)
    running = spending.Entry(
        job="sw-111111111111",
        attempt=1,
        project="full",
        state="reserved",
        usd=99.5,
        at=at,
        until=at + timedelta(hours=1),
    )
    spending.write(ledger, running)
    job = {**MINIMAL, **priced, "project": "full"}
    limits = Budget(usd_per_project=100)
    with (
        saved(embedded, "tight", limits, SnapshotStore(url=str(broken / "store"))) as (budget, unreadable),
        embedded.api.in_use(embedded.home),
    ):
        message = refusal(**job, budget=budget)
        assert message.startswith("usd_per_project: of 100 USD, 0 are spent by project full and 99.5 are reserved")
        assert "Allow more in the Budget block" in message
        message = refusal(**job, max_usd=0.1)
        assert message.startswith("max_usd: of 0.1 USD")
        assert "a machine needs" in message
        message = refusal(**{**job, "store": unreadable}, budget=budget)
        assert message.startswith("store: the ledger of spending does not answer")
        message = refusal(**job, continue_job="sw-111111111111")
        assert "there is no job" in message
    assert sorted(embedded.home.machines.iterdir()) == before, "nothing was launched"
    mine = [entry for entry in spending.read(ledger) if entry.project == "full"]
    assert mine == [running], "what was refused has withdrawn"


def test_costs_are_shown_and_drawn(embedded: Embedded, client: SyncPrefectClient, tmp_path: Path) -> None:
    store = SnapshotStore(url=str(embedded.home.store))
    at = datetime(2026, 1, 15, tzinfo=UTC)
    fields = {"attempt": 1, "project": "shown", "cloud": "aws", "at": at, "until": at, "on_demand_usd": 5.0}
    entries = [
        spending.Entry.model_validate(
            {**fields, "job": "sw-222222222222", "state": "ended", "usd": 1.25, "hours": 2.0}
        ),
        spending.Entry.model_validate({**fields, "job": "sw-333333333333", "state": "reserved", "usd": 3.0}),
    ]
    for entry in entries:
        spending.write(store, entry)
    picture = tmp_path / "costs.png"
    done = embedded.spotwave("costs", "--by", "project", "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "shown" in line]
    for cell in ("1.2500", "3.0000", "5.0000", "75%", "2 (1 reserved)"):
        assert cell in row
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(embedded.spotwave("costs", "--json").stdout)
    assert next(row for row in told if row["name"] == "2026-01")["usd"] == 1.25
    with embedded.api.in_use(embedded.home), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        state = costs(by="project", return_state=True)
        run_id = state.state_details.flow_run_id
    assert state.is_completed()
    found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id])))
    assert {str(one.key) for one in found} == {"costs", "costs-picture"}
