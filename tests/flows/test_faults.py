"""Machines fall silent, solvers are killed, jobs are cancelled and taken down: what `tests.faults` does not strike."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from deployments import worker
from node.contract import CHECKPOINT_DIR
from tests.conftest import Embedded
from tests.flows.billing import receipt_in
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, Job, endings, eventually, repeated_scf, running, same_energies
from tests.processes import kill_each

pytestmark = pytest.mark.slow(minutes=3)


@pytest.fixture(scope="module")
def jobs(early: Start) -> dict[str, Job]:
    return {
        "silent": early("run_shci", **MINIMAL, silence_minutes=0.5),
        "lost": early("run_shci", **MINIMAL, max_attempts=1),
        "cancelled at work": early("run_shci", **MINIMAL),
        "cancelled at launch": early("launched", **MINIMAL),
    }


@pytest.mark.thorough
def test_a_silent_machine_is_given_up_and_fenced(jobs: dict[str, Job]) -> None:
    run = jobs["silent"]
    run.waits()
    agent = min(running(run.machine().id, "node.agent"), key=lambda process: process.create_time())
    agent.suspend()
    result = run.completed()
    same_energies(result)
    assert endings(result) == ["lost", "completed"]
    assert "silent" in result["attempts"][0]["reason"]


def test_too_many_losses_are_a_clear_failure_that_keeps_everything(jobs: dict[str, Job]) -> None:
    """Here of the solver, as the kernel does when memory is short: another machine could do better."""
    run = jobs["lost"]
    run.waits()
    run.saved()
    solver = running(run.machine().id, "node.programs.pyci_program")
    assert solver
    kill_each(solver)
    state = run.finished()
    assert state.is_failed()
    assert "max_attempts: all 1 machines were lost" in str(state.message)
    assert "killed by SIGKILL" in str(state.message)
    assert f"under {run.key}" in str(state.message)
    latest = (run.remote / CHECKPOINT_DIR / "LATEST").read_text().strip()
    assert json.loads((run.remote / CHECKPOINT_DIR / latest / "manifest.json").read_text())["files"]


@pytest.mark.parametrize("name", ["cancelled at work", "cancelled at launch"])
def test_cancelling_the_run_terminates_the_machine_and_pays_for_it(
    embedded: Embedded, jobs: dict[str, Job], name: str
) -> None:
    """Also one that nobody but its cloud knows of yet."""
    run = jobs[name]
    run.waits()
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(run.run_id)]
    subprocess.run(command, env=embedded.environment, check=True, capture_output=True, timeout=60)
    assert run.finished().is_cancelled()
    told = receipt_in(run.home.results / run.key)
    assert [attempt["ending"] for attempt in told["attempts"]] == ["lost"]
    assert told["attempts"][0]["bill"]["seconds"] > 0
    node_runs = run.node_runs()
    assert [node_run.state_name for node_run in node_runs] == ["Cancelled"] * len(node_runs)
    assert len(node_runs) == (name == "cancelled at work")


def kill_controller(embedded: Embedded, run: Job) -> None:
    """SIGKILL the controller's worker and the job's flow-run process."""
    note = worker.running(embedded.home)
    assert note is not None
    host_pid = eventually("the run's process is known", lambda: run.run.infrastructure_pid)
    for pid in (note.pid, int(host_pid.rpartition(":")[2])):
        psutil.Process(pid).kill()


@pytest.mark.thorough
def test_down_keeps_the_work_and_up_goes_on_with_it(embedded: Embedded, job: Start) -> None:
    """It is no loss, of which this job may have none."""
    run = job("run_shci", **MINIMAL, max_attempts=1)
    run.waits()
    done = embedded.spotwave("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert embedded.left() == []
    done = embedded.spotwave("up")
    assert done.returncode == 0, done.stdout + done.stderr
    result = run.completed()
    same_energies(result)
    assert endings(result) == ["host down", "completed"]
    first, second = result["attempts"]
    assert second["instance_type"] == first["instance_type"], "no pool cools down"
    assert not repeated_scf(run, 2)
