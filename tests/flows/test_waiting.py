"""A job for which no cloud has capacity: it waits, says why, survives its controller, and launches once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType

from spotwave.flows.housekeeping.reconcile import adopt
from spotwave.flows.loop.placement_rounds import ENV_LONGEST_PAUSE
from spotwave.tasks.machine.placement_rounds import read_round
from tests.conftest import Embedded
from tests.flows.clouds_kit import REQUIREMENTS, Emulated
from tests.flows.kit import MINIMAL, Job, eventually, now_and_then, start

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=2), pytest.mark.timeout(600)]


def waiting(job: Job) -> State[Any]:
    """Return the job's state, once it waits."""

    def look() -> State[Any] | None:
        state = job.run.state
        assert state is not None
        assert not state.is_final(), state.message
        return state if state.name == "Waiting" else None

    state: State[Any] | None = eventually("the job waits", now_and_then(look), 240)
    assert state is not None
    return state


def rounds(job: Job) -> int:
    return read_round(job.client, job.run_id, 1).number


def cancel(embedded: Embedded, job: Job) -> None:
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(job.run_id)]
    subprocess.run(command, env=embedded.environment, check=True, capture_output=True, timeout=60)


def test_job_waits_for_capacity_and_launches_once(
    embedded: Embedded, client: SyncPrefectClient, clouds: dict[str, Emulated]
) -> None:
    cloud = clouds["aws"]
    emulator, ledger = cloud.emulator, cloud.emulator.ledger
    pools = cloud.cloud.market().frame.select("instance_type", "zone").rows()
    emulator.exhausted.update(pools)
    brisk = {ENV_LONGEST_PAUSE: "1"}
    parameters = {**MINIMAL, **cloud.blocks, "requirements": REQUIREMENTS}
    stays = start(embedded, client, environment=brisk, **parameters)
    goes = start(embedded, client, environment=brisk, **parameters)
    at_once = start(embedded, client, environment=brisk, **parameters, wait_hours=0)
    for job in (stays, goes):
        state = waiting(job)
        assert state.type is StateType.RUNNING
        assert str(state.message).startswith("NoOffer: no machine available:")
        assert "max_usd_h" in str(state.message), "the message says what would help"
    failed = at_once.finished()
    assert failed.is_failed()
    assert str(failed.message).startswith("no machine available:")

    cancel(embedded, goes)
    assert goes.finished(60).is_cancelled()

    eventually("it retries", now_and_then(lambda: rounds(stays) >= 3), 240)
    engine = int(str(stays.run.infrastructure_pid).rpartition(":")[2])
    psutil.Process(engine).kill()
    before = rounds(stays)

    def goes_on() -> bool:
        adopt(client)
        return rounds(stays) > before

    eventually("it is restarted, and continues to wait in the same round", now_and_then(goes_on), 240)
    assert waiting(stays).type is StateType.RUNNING
    assert [item.kind for item in ledger.items("machine")] == [], "nothing was launched"

    emulator.exhausted.difference_update(pools)
    eventually("it has its machine", lambda: ledger.items("machine"), 120)
    eventually("its state is Running", now_and_then(lambda: stays.run.state_name == "Running"), 60)
    turn = rounds(stays)
    cancel(embedded, stays)
    assert stays.finished().is_cancelled()
    assert len(ledger.items("machine")) == 1, "one machine, despite the controller's restart"
    assert ledger.left() == []
    assert rounds(stays) == turn
    assert time.time() > read_round(client, stays.run_id, 1).until
