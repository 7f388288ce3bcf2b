"""A waiting job against a real server: its state, what is stored, and how it ends. (End to end: test_waiting.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled

from spotwave.flows.loop.errors import JobFailed
from spotwave.flows.loop.placement_rounds import ENV_LONGEST_PAUSE, LEAST_RUN_S, Rounds
from spotwave.node.contract import job_key_of
from spotwave.tasks import api
from spotwave.tasks.machine.placement_rounds import read_round
from spotwave.tasks.records import Job, Unplaced
from spotwave.tasks.run_status import Ended
from tests.conftest import Embedded
from tests.tasks.test_quote import a_job

pytestmark = pytest.mark.slow

FULL = Unplaced(reason="NoOffer", said="no machine available: 18 offers tried")


@pytest.fixture(scope="module", autouse=True)
def server(embedded: Embedded) -> Iterator[None]:
    with (
        embedded.api.in_use(embedded.home),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_LONGEST_PAUSE, "0.05")
    monkeypatch.setattr("spotwave.flows.loop.placement_rounds.LOOK_S", 0.02)
    monkeypatch.setattr("spotwave.flows.loop.placement_rounds.TICK_S", 0.01)


def within(folder: Path, body: Callable[[Job], Any], **limits: Any) -> Any:
    """Run `body` in its own flow run; return its result."""

    @flow(name="waits")
    def waits() -> Any:
        run_id = UUID(flow_run.id)
        return body(a_job(key=job_key_of(run_id), flow_run_id=run_id, results=folder, **limits))

    return waits()


def test_waiting_job_is_running_and_its_own_states_do_not_supersede_it(tmp_path: Path) -> None:
    def body(job: Job) -> None:
        rounds, read = Rounds(job), lambda: api.client().read_flow_run(job.flow_run_id)
        turn = rounds.next(1, rounds.resume(1), FULL)
        run = read()
        assert run.state is not None
        assert (run.state.type, run.state.name) == (StateType.RUNNING, "Waiting")
        assert str(run.state.message).startswith("NoOffer: no machine available: 18 offers tried.")
        assert "max_usd_h" in str(run.state.message)
        turn = rounds.next(1, turn, FULL)
        assert (turn.number, turn.pauses) == (3, 2)
        assert run.run_count == read().run_count, "the same state is set once"
        assert Rounds(job).resume(1) == turn, "a later engine continues in the same round"
        rounds.over()
        run = read()
        assert run.state is not None
        assert (run.state.type, run.state.name) == (StateType.RUNNING, "Running")
        assert run.run_count == rounds.run_count == 3
        assert rounds.next(2, rounds.resume(2), FULL).number == 2, "each attempt has its own rounds"

    within(tmp_path, body)


def test_wait_is_limited(tmp_path: Path) -> None:
    def never(job: Job) -> None:
        with pytest.raises(JobFailed, match=r"^no machine available: 18 offers tried\.$"):
            Rounds(job).next(1, Rounds(job).resume(1), FULL)
        assert api.client().read_flow_run(job.flow_run_id).state_name == "Running"

    within(tmp_path, never, wait_hours=0)

    def in_time(job: Job) -> None:
        rounds = Rounds(job)
        turn = rounds.next(1, rounds.next(1, rounds.resume(1), FULL), FULL)
        an_hour_ago = turn.model_copy(update={"since": turn.since - 3600})
        with pytest.raises(JobFailed, match=r"^wait_hours: 1 h are over; .* 3 rounds: no machine available: 18 offers"):
            rounds.next(1, an_hour_ago, FULL)

    within(tmp_path, in_time, wait_hours=1)

    def in_vain(job: Job) -> None:
        with pytest.raises(JobFailed, match="as it is"):
            Rounds(job).next(1, Rounds(job).resume(1), Unplaced(reason=None, said="as it is"))

    within(tmp_path, in_vain)


def test_wait_ends_when_no_time_for_work_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(job: Job) -> None:
        rounds = Rounds(job)
        turn, now = rounds.resume(1), api.now().timestamp()
        with pytest.raises(JobFailed, match="18 offers tried"):
            rounds.next(1, turn, FULL, now + LEAST_RUN_S - 1)

    within(tmp_path, body)


def test_ended_run_stops_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_LONGEST_PAUSE, "60")

    def body(job: Job) -> None:
        rounds = Rounds(job)
        rounds.resume(1)
        real = rounds._show

        def shown(name: str, message: str) -> None:
            real(name, message)
            by_hand: Any = Cancelled()
            api.client().set_flow_run_state(job.flow_run_id, by_hand, force=True)

        monkeypatch.setattr(rounds, "_show", shown)
        with pytest.raises(Ended):
            rounds.next(1, rounds.resume(1), FULL)
        assert read_round(api.client(), job.flow_run_id, 1).number == 2

    within(tmp_path, body)
