"""Which machines are not needed any more, by the state of their job in Prefect and on this computer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Running, Suspended

from spotwave.blocks.models import Machine
from spotwave.node.contract import job_key_of
from spotwave.tasks.cost import billing_record
from spotwave.tasks.cost.billing_record import BillingRecord
from spotwave.tasks.machine.reaper import unwanted
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job
from tests.tasks.test_receipt import a_machine

RUN, CHILD = uuid4(), uuid4()
KEY = job_key_of(RUN)
LONG, JUST_NOW = timedelta(hours=2), timedelta(minutes=3)


def run(run_id: object, state: State[Any]) -> SimpleNamespace:
    """An attempt has no parent task run after its parent was deleted."""
    return SimpleNamespace(id=run_id, state=state, parent_task_run_id=None)


def why_not(*runs: SimpleNamespace) -> str | None:
    prefect: Any = SimpleNamespace(read_flow_runs=lambda flow_run_filter: list(runs))
    return unwanted(prefect, the_machine())


def the_machine() -> Machine:
    born, until = datetime.now(UTC) - LONG, datetime.now(UTC) + LONG
    return a_machine(an_offer()).model_copy(
        update={"job_key": KEY, "launched_at": born, "deadline": int(until.timestamp())}
    )


def since(ago: timedelta) -> datetime:
    return datetime.now(UTC) - ago


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Any:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield


@pytest.mark.parametrize(
    ("state", "ago", "unwanted_"),
    [
        (Running, LONG, False),
        (Crashed, JUST_NOW, False),
        (Crashed, LONG, True),
        (Cancelled, JUST_NOW, True),
        (Failed, JUST_NOW, True),
        (Completed, JUST_NOW, True),
        (Suspended, JUST_NOW, False),  # its engine is having the machine save
        (Suspended, LONG, True),
        (Paused, LONG, True),
    ],
)
def test_need_follows_from_the_state_of_the_job(
    state: Callable[..., State[Any]], ago: timedelta, unwanted_: bool
) -> None:
    set_ = state(timestamp=since(ago))
    reason = why_not(run(RUN, set_), run(CHILD, Running()))
    assert reason == (f"job {KEY} is {set_.name}" if unwanted_ else None)


def test_machine_of_a_deleted_job_is_unwanted_although_its_attempt_exists() -> None:
    assert why_not(run(CHILD, Running())) == f"job {KEY} was deleted"


def test_unknown_job_is_left_alone_unless_its_billing_record_exists(tmp_path: Path) -> None:
    assert why_not() is None
    billing_record.keep(BillingRecord(job=a_job(key=KEY, flow_run_id=RUN, results=tmp_path)))
    assert why_not() == f"job {KEY} was deleted"
