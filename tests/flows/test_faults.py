"""Machines are taken back, killed, silenced; controllers too. The answer is the same, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from deployments import worker
from node.contract import CHECKPOINT_DIR
from tests.conftest import Embedded
from tests.flows.conftest import Start
from tests.flows.kit import CALCULATION, Job, eventually, kill_group, local_cloud, marked_processes, running
from tests.flows.logs import messages

pytestmark = pytest.mark.slow(minutes=6)


def same_energies(result: dict[str, Any], reference: dict[str, Any]) -> None:
    for field in ("rhf_energy", "variational_energy", "total_energy"):
        assert result[field] == pytest.approx(reference[field], abs=1e-8), field
    assert result["determinants"] == reference["determinants"]


def endings(result: dict[str, Any]) -> list[str]:
    return [attempt["ending"] for attempt in result["attempts"]]


def repeated_scf(run: Job, attempt: int) -> bool:
    """Whether that attempt computed the SCF instead of taking it from the checkpoint."""
    node_run = run.node_runs()[attempt - 1]

    return not any("taken from the checkpoint" in line for line in messages(run.client, node_run.id))


def repeated_variational_start(run: Job, attempt: int) -> bool:
    """Whether the program began from the Hartree-Fock determinant again."""
    return any("(Hartree-Fock determinant)" in line for line in messages(run.client, run.node_runs()[attempt - 1].id))


def caught_in(run: Job, part: str, attempt: int) -> int:
    """Stop the node run while it writes `part` in its scratch folder; its pid."""
    work = run.work(attempt)
    engine = run.engine(attempt)
    scratch = work / "scratch"
    eventually(f"{part} being written", lambda: (scratch / part).exists(), every_s=0.002)
    os.kill(engine, signal.SIGSTOP)
    return engine


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal waits for a stopped process to go on."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return any(int(status[mask], 16) >> (number - 1) & 1 for mask in ("SigPnd", "ShdPnd"))


def give_notice(run: Job, notice_s: float, attempt: int) -> Thread:
    """What the cloud does: a notice, and after its time the loss."""
    machine = run.machine(attempt)
    thread = Thread(target=local_cloud(run.home).interrupt, args=(machine, notice_s))
    thread.start()
    return thread


def test_a_notice_in_each_of_the_three_tasks(job: Start, reference: dict[str, Any]) -> None:
    run = job(**CALCULATION)
    for attempt, part in ((1, ".scf.chk.part"), (2, ".FCIDUMP.part")):
        engine = caught_in(run, part, attempt)
        if attempt == 2:
            run.saved()
        thread = give_notice(run, 20, attempt)
        eventually("the agent has asked the run to end", partial(is_pending, engine, signal.SIGTERM))
        os.kill(engine, signal.SIGCONT)
        thread.join()
    run.solving(3)
    thread = give_notice(run, 20, 3)
    result = run.completed()
    thread.join()
    same_energies(result, reference)
    assert endings(result) == ["interrupted", "interrupted", "interrupted", "completed"]
    assert [node_run.state_name for node_run in run.node_runs()] == [*["Interrupted"] * 3, "Completed"]
    # Whether the second had to: PySCF may finish its file, and so the SCF, before it yields to the signal.
    assert [repeated_scf(run, attempt) for attempt in (3, 4)] == [False, False]
    assert repeated_variational_start(run, 4) is False


def test_a_machine_killed_without_a_word(job: Start, reference: dict[str, Any]) -> None:
    run = job(**CALCULATION)
    run.hold_solver()
    machine = run.machine()
    root = min(marked_processes(machine.id), key=lambda process: process.create_time())
    run.saved()
    kill_group(root.pid)
    result = run.completed()
    same_energies(result, reference)
    assert endings(result) == ["lost", "completed"]
    assert not repeated_scf(run, 2)
    first, second = result["attempts"]
    assert first["ended_at"] <= second["launched_at"], "never two machines at once"
    assert result["attempts"][1]["instance_type"] != first["instance_type"], "the pool that died cools down"


def test_a_silent_machine_is_given_up_and_fenced(job: Start, reference: dict[str, Any]) -> None:
    run = job(**CALCULATION, silence_minutes=0.25)
    run.hold_solver()
    agent = min(running(run.machine().id, "node.agent"), key=lambda process: process.create_time())
    agent.suspend()
    result = run.completed()
    same_energies(result, reference)
    assert endings(result) == ["lost", "completed"]
    assert "silent" in result["attempts"][0]["reason"]


def test_a_corrupt_newest_checkpoint_is_passed_over(job: Start, reference: dict[str, Any]) -> None:
    run = job(**CALCULATION, sync_minutes=0.05)
    checkpoints = run.home.remote / run.key / CHECKPOINT_DIR
    run.hold_solver()
    eventually("two generations on the remote", lambda: len(list(checkpoints.glob("*/manifest.json"))) > 1)
    machine = run.machine()
    local_cloud(run.home).interrupt(machine, None)
    newest = checkpoints / (checkpoints / "LATEST").read_text().strip()
    damaged = next(path for path in sorted(newest.rglob("*")) if path.is_file() and path.name != "manifest.json")
    damaged.write_bytes(b"\0" * 100)
    result = run.completed()
    same_energies(result, reference)
    assert "is skipped" in (run.home.results / run.key / "attempts/2/agent.log").read_text()


def test_too_many_losses_are_a_clear_failure_that_keeps_everything(job: Start) -> None:
    """Here of the solver, as the kernel does when memory is short: another machine could do better."""
    run = job(**CALCULATION, max_attempts=1)
    run.hold_solver()
    run.saved()
    solver = running(run.machine().id, "node.programs.pyci_program")
    assert solver
    for process in solver:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    state = run.finished()
    assert state.is_failed()
    assert "max_attempts: all 1 machines were lost" in str(state.message)
    assert "killed by SIGKILL" in str(state.message)
    assert f"under {run.key}" in str(state.message)
    latest = (run.remote / CHECKPOINT_DIR / "LATEST").read_text().strip()
    assert json.loads((run.remote / CHECKPOINT_DIR / latest / "manifest.json").read_text())["files"]


def test_cancelling_the_run_terminates_the_machine(embedded: Embedded, job: Start) -> None:
    run = job(**CALCULATION)
    run.hold_solver()
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(run.run_id)]
    subprocess.run(command, env=embedded.environment, check=True, capture_output=True, timeout=60)
    assert run.finished().is_cancelled()
    assert [node_run.state_name for node_run in run.node_runs()] == ["Cancelled"]


def test_a_controller_that_died_takes_its_machine_up_again(
    embedded: Embedded, job: Start, reference: dict[str, Any]
) -> None:
    run = job(**CALCULATION)
    run.engine()
    launched = run.machine()
    kill_controller(embedded, run)
    done = embedded.spotwave("up")
    assert done.returncode == 0, done.stderr
    result = run.completed()
    same_energies(result, reference)
    assert [attempt["machine"] for attempt in result["attempts"]] == [launched.id]
    assert len(list(run.home.machines.glob(f"{run.key}-*"))) == 1, "one machine ever"
    assert len(run.node_runs()) == 1


def kill_controller(embedded: Embedded, run: Job) -> None:
    """SIGKILL the controller's worker and the job's flow-run process."""
    note = worker.running(embedded.home)
    assert note is not None
    host_pid = eventually("the run's process is known", lambda: run.run.infrastructure_pid)
    for pid in (note.pid, int(host_pid.rpartition(":")[2])):
        psutil.Process(pid).kill()


def test_down_keeps_the_work_and_up_goes_on_with_it(embedded: Embedded, job: Start, reference: dict[str, Any]) -> None:
    run = job(**CALCULATION)
    run.hold_solver()
    done = embedded.spotwave("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert embedded.left() == []
    done = embedded.spotwave("up")
    assert done.returncode == 0, done.stdout + done.stderr
    result = run.completed()
    same_energies(result, reference)
    assert endings(result) == ["interrupted", "completed"]
    assert not repeated_scf(run, 2)
