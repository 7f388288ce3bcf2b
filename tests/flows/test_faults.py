"""Silent machines, killed solvers, `down` and `up`: faults that `tests.faults` does not cover."""

from __future__ import annotations

import json

import pytest

from spotwave.node.contract import CHECKPOINT_DIR
from tests.conftest import Embedded
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, Job, endings, repeated_scf, running, same_energies
from tests.processes import kill_each

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=3)]


@pytest.fixture(scope="module")
def jobs(early: Start) -> dict[str, Job]:
    return {
        "silent": early("run_shci", **MINIMAL, silence_minutes=0.5),
        "lost": early("run_shci", **MINIMAL, max_attempts=1),
    }


def test_silent_machine_is_given_up_and_fenced(jobs: dict[str, Job]) -> None:
    run = jobs["silent"]
    run.waits()
    agent = min(running(run.machine().id, "spotwave.node.agent"), key=lambda process: process.create_time())
    agent.suspend()
    result = run.completed()
    same_energies(result)
    assert endings(result) == ["lost", "completed"]
    assert "no heartbeat" in result["attempts"][0]["reason"]


def test_too_many_losses_fail_clearly_and_keep_the_checkpoint(jobs: dict[str, Job]) -> None:
    """Here of the solver, killed as the kernel does when memory is short: another machine could succeed."""
    run = jobs["lost"]
    run.waits()
    run.saved()
    solver = running(run.machine().id, "spotwave.node.jobs.shci.programs.pyci_program")
    assert solver
    kill_each(solver)
    state = run.finished()
    assert state.is_failed()
    assert "max_attempts: all 1 machines were lost" in str(state.message)
    assert "killed by SIGKILL" in str(state.message)
    assert f"under {run.key}" in str(state.message)
    latest = (run.remote / CHECKPOINT_DIR / "LATEST").read_text().strip()
    assert json.loads((run.remote / CHECKPOINT_DIR / latest / "manifest.json").read_text())["files"]


def test_down_keeps_the_work_and_up_continues_it(embedded: Embedded, job: Start) -> None:
    """It is not a loss; this job allows none."""
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
