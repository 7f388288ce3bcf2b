"""A receipt that is not settled when the job ends: corrected once, by reconcile, with a time limit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Completed, Crashed, Running

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.loop.run_lock import run_lock
from spotwave.tasks.cost import billing_record, ledger
from spotwave.tasks.cost.billing_record import BillingRecord
from spotwave.tasks.cost.receipt import KEY
from tests.flows.settle_bills_kit import TRUE, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "prefect" / "storage"}):
        yield Scene(tmp_path, monkeypatch)


def in_a_day(monkeypatch: pytest.MonkeyPatch, days: float = 1.1) -> None:
    monkeypatch.setattr("spotwave.tasks.api.now", lambda: datetime.now(UTC) + timedelta(days=days))


def test_no_queries_if_nothing_is_open(scene: Scene) -> None:
    assert scene.look() == {}
    assert scene.cloud.asked == 0


def test_late_report_corrects_the_receipt(scene: Scene) -> None:
    scene.job_ends()
    (attempt,) = scene.receipt["attempts"]
    assert attempt["bill"]["unsettled"]
    assert scene.receipt["cost"]["usd"] == pytest.approx(0.06)
    assert scene.action == "", "not yet"
    assert scene.open
    assert scene.prefect.artifacts == []
    scene.cloud.reported_end = TRUE
    assert scene.action == "settled"
    assert not scene.open
    (attempt,) = scene.receipt["attempts"]
    assert (attempt["bill"]["unsettled"], attempt["bill"]["end_told"]) == (False, True)
    assert datetime.fromisoformat(attempt["ended_at"]) == TRUE
    result = json.loads((scene.job.results / "result.json").read_text())
    assert result["energy"] == -1.0
    assert result["cost"]["usd"] == scene.receipt["cost"]["usd"] == pytest.approx(0.04)
    (entry,) = scene.entries
    assert (entry.state, entry.usd, entry.until) == ("ended", pytest.approx(0.04), TRUE)
    (artifact,) = scene.prefect.artifacts
    assert (artifact.key, artifact.flow_run_id) == (KEY, scene.job.flow_run_id)
    assert "as observed by Spotwave" not in artifact.data
    asked_so_far = scene.cloud.asked
    assert scene.look() == {}
    assert scene.cloud.asked == asked_so_far


@pytest.mark.parametrize("step", ["ledger.write", "receipt.keep", "_into_result", "billing_record.close"])
def test_interrupted_settlement_is_repeated(scene: Scene, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    scene.job_ends()
    scene.cloud.reported_end = TRUE
    with monkeypatch.context() as patched:
        patched.setattr(f"spotwave.flows.housekeeping.settle_bills.{step}", kill)
        with pytest.raises(Killed):
            scene.look()
    assert scene.action == "settled"
    assert not scene.open
    assert scene.receipt["cost"]["usd"] == pytest.approx(0.04)
    assert [entry.usd for entry in scene.entries] == [pytest.approx(0.04)]


def test_own_figures_stay_after_a_day(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.job_ends(with_result=False)
    in_a_day(monkeypatch)
    assert scene.action == "settled without the cloud's figures: none came within a day"
    assert not scene.open
    (attempt,) = scene.receipt["attempts"]
    assert (attempt["bill"]["unsettled"], attempt["bill"]["end_told"]) == (False, False)
    assert scene.receipt["cost"]["usd"] == pytest.approx(0.06)
    assert not (scene.job.results / "result.json").exists()


def test_unavailable_cloud_or_block(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.job_ends()
    scene.cloud.away = True
    assert scene.action == ""
    scene.gone_block = True
    assert "no such block" in scene.action
    assert scene.receipt["cost"]["usd"] == pytest.approx(0.06)
    in_a_day(monkeypatch)
    assert scene.action.startswith("settled without the cloud")
    assert scene.receipt["cost"]["usd"] == pytest.approx(0.06)


def test_unavailable_store(scene: Scene, tmp_path: Path) -> None:
    scene.job_ends()
    scene.cloud.reported_end, good = TRUE, scene.store
    (tmp_path / "file").write_text("")
    scene.store = SnapshotStore(url=str(tmp_path / "file/store"))
    assert scene.action.startswith("not yet settled: url: cannot write")
    assert scene.open
    scene.store = good
    assert scene.action == "settled"
    assert [entry.usd for entry in scene.entries] == [pytest.approx(0.04)]


def test_active_job_is_not_settled(scene: Scene) -> None:
    scene.job_ends()
    scene.cloud.reported_end = TRUE
    going_on: list[State[Any]] = [Running(), Crashed()]
    for scene.prefect.state in going_on:
        assert scene.look() == {}
    scene.prefect.state = Completed()
    with run_lock(scene.job.key):
        assert scene.look() == {}
    assert scene.cloud.asked == 0
    scene.prefect.state = None  # deleted by a user
    assert scene.action == "settled"


def test_abandoned_job_gets_a_receipt(scene: Scene) -> None:
    scene.machine_is_left()
    assert scene.action == "", "it is still billed"
    assert [entry.state for entry in scene.entries] == ["reserved"]
    scene.cloud.listed = []
    assert scene.action == "corrected in part"
    assert scene.receipt["cost"]["usd"] > 0.5, "billed until it was found gone"
    scene.cloud.reported_end = TRUE
    assert scene.action == "settled"
    (attempt,) = scene.receipt["attempts"]
    assert attempt["ending"] == "lost"
    (entry,) = scene.entries
    assert (entry.state, entry.usd) == ("ended", pytest.approx(0.04))


def test_unrecorded_launch_is_found_by_its_tag(scene: Scene) -> None:
    """Only the reservation is recorded."""
    at = datetime.now(UTC).timestamp()
    ledger.write(scene.store, ledger.reservation(scene.job, 1, 99.0, at, at, None))
    billing_record.keep(BillingRecord(job=scene.job).reserving(1, at))
    assert scene.look() == {}
    scene.cloud.listed = [scene.machine]
    assert scene.action == "corrected in part"
    scene.cloud.listed, scene.cloud.reported_end = [], TRUE
    assert scene.action == "settled"
    (entry,) = scene.entries
    assert (entry.state, entry.usd) == ("ended", pytest.approx(0.04))


def test_reservation_without_a_machine_is_dropped(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.now(UTC).timestamp()
    ledger.write(scene.store, ledger.reservation(scene.job, 1, 99.0, at, at, None))
    billing_record.keep(BillingRecord(job=scene.job).reserving(1, at))
    assert scene.look() == {}
    in_a_day(monkeypatch, 0.02)
    assert scene.action == "settled"
    assert scene.entries == []
    assert not (scene.job.results / "receipt.json").exists()


def test_unwritable_receipt_is_given_up_after_two_days(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.job_ends(with_result=False)
    for path in scene.job.results.iterdir():
        path.unlink()
    os.rmdir(scene.job.results)
    scene.job.results.write_text("a file")
    scene.cloud.reported_end = TRUE
    assert scene.action.startswith("not yet settled")
    in_a_day(monkeypatch, 2.1)
    assert scene.action
    assert not scene.open


def test_record_closed_by_its_job_meanwhile_is_ignored(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between listing the records and reading one."""
    scene.job_ends()
    listed = billing_record.kept()
    assert listed
    monkeypatch.setattr("spotwave.tasks.cost.billing_record.kept", lambda: listed)
    billing_record.close(listed[0])
    assert scene.look() == {}


def test_record_of_another_version_is_dropped(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.job_ends()
    (path,) = (Path(PREFECT_LOCAL_STORAGE_PATH.value()).parent / "accounts").glob("*.json")
    path.write_text('{"machines": 7}')
    assert scene.look() == {}
    assert scene.open
    in_a_day(monkeypatch, 2.1)
    assert scene.look() == {}
    assert not scene.open
