"""A machine without a network: a real agent, rclone, and the machine's own Prefect; the test acts as the controller."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest

from spotwave.blocks.machine_events import checked, log_line, named
from spotwave.blocks.rclone import rclone_binary
from spotwave.node.contract import (
    BRIEF_FILE,
    ENGINE_PID_FILE,
    ENV_NOTICE,
    ENV_RCLONE,
    ENV_SECRETS,
    ENV_WORK,
    FENCE_FILE,
    HEARTBEAT_FILE,
    LATEST_FILE,
    OUTCOME_FILE,
    RECORD_DIR,
    RESULT_FILE,
    RUN_FILE,
    SECRET_API,
    Brief,
    Ending,
    Lease,
    Outcome,
    Phase,
    Submission,
    attempt_dir,
)
from tests.processes import kill_with_children

pytestmark = pytest.mark.slow(minutes=0.3)

ROOT = Path(__file__).resolve().parents[2]
BEAT_S = 0.5
# No route except loopback. If not Linux as root, the machine at least has no address of an API.
NO_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, which saves each machine's server eight seconds."""
    home = tmp_path_factory.mktemp("prefect")
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    environment = {**os.environ, "PREFECT_HOME": str(home)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    return home / "prefect.db"


@dataclass
class Machine:
    """A running detached machine, and its folder on the remote."""

    process: subprocess.Popen[bytes]
    work: Path
    remote: Path
    run_id: UUID

    @property
    def mailbox(self) -> Path:
        return self.remote / attempt_dir(1)

    @property
    def lease(self) -> Lease | None:
        path = self.mailbox / HEARTBEAT_FILE
        return Lease.from_json(path.read_text()) if path.exists() else None

    @property
    def outcome(self) -> Outcome:
        return Outcome.from_json((self.mailbox / OUTCOME_FILE).read_text())

    def is_in(self, phase: Phase) -> bool:
        lease = self.lease
        return lease is not None and lease.phase is phase

    def submit(self, entrypoint: str, **parameters: Any) -> None:
        known = {"job_key": "sw-alone", "attempt": 1}
        submission = Submission(entrypoint, {**known, **parameters}, str(self.run_id))
        submission.write(self.mailbox / RUN_FILE)

    def ended(self, within_s: float = 60) -> None:
        assert self.process.wait(within_s) == 0, (self.work / "console.log").read_text()

    def record(self) -> list[dict[str, Any]]:
        """Return all lines of the record, after a check that the lease gives the number of its parts."""
        parts = sorted((self.mailbox / RECORD_DIR).iterdir())
        lease = self.lease
        assert lease is not None
        assert lease.records == len(parts) > 0
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


Boot = Callable[[], Machine]


@pytest.fixture
def boot(tmp_path: Path, database: Path) -> Iterator[Boot]:
    started: list[Machine] = []

    def start() -> Machine:
        work, secrets, remote = (tmp_path / name for name in ("work", "secrets", "remote"))
        (work / "prefect").mkdir(parents=True)
        shutil.copy2(database, work / "prefect")
        secrets.mkdir()
        (secrets / SECRET_API).write_text("{}")
        often = {"lease_s": BEAT_S, "beat_s": BEAT_S}
        brief = Brief("sw-alone", 1, str(remote), "none", 1, 2.0, time.time() + 600, detached=True, **often)
        brief.write(work / BRIEF_FILE)
        environment = {
            **os.environ,
            ENV_WORK: str(work),
            ENV_SECRETS: str(secrets),
            ENV_RCLONE: rclone_binary(),
            ENV_NOTICE: str(work / "notice.json"),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",  # `tests` has the small flow
        }
        with (work / "console.log").open("wb") as console:
            process = subprocess.Popen(
                [*NO_NETWORK, sys.executable, "-m", "spotwave.node.agent"],
                env=environment,
                stdout=console,
                stderr=console,
            )
        started.append(Machine(process, work, remote, uuid4()))
        return started[-1]

    yield start
    for one in started:
        kill_with_children(one.process)


def until(what: str, look: Callable[[], object], within_s: float = 120) -> None:
    limit = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < limit, what
        time.sleep(0.05)


@pytest.mark.thorough
def test_an_unreachable_remote_does_not_end_a_machine_but_a_fence_does(boot: Boot) -> None:
    machine = boot()
    until("the first beat", lambda: machine.is_in(Phase.BOOTING))
    machine.submit("tests.node.small_flow.small", word="abracadabra")
    until("the run works", lambda: machine.is_in(Phase.WORKING))
    until("its checkpoint is safe", (machine.remote / LATEST_FILE).exists)

    away = machine.remote.rename(machine.remote.with_name("away"))
    machine.remote.write_text("a file, so the remote cannot be used")
    log = machine.work / "agent.log"
    until("beats fail", lambda: log.read_text().count("lease not renewed") > 1)
    machine.remote.unlink()
    away.rename(machine.remote)
    lease = machine.lease
    assert lease is not None
    until("it beats again", lambda: (now := machine.lease) is not None and now.beat > lease.beat)
    assert machine.is_in(Phase.WORKING)

    engine = psutil.Process(int((machine.work / ENGINE_PID_FILE).read_text()))
    (machine.mailbox / FENCE_FILE).write_text("{}")
    machine.ended()
    assert not engine.is_running()
    assert not (machine.mailbox / OUTCOME_FILE).exists(), "it writes nothing more"
    assert not machine.is_in(Phase.ENDED)


@pytest.mark.thorough
def test_the_real_node_flow_in_a_minimal_basis(boot: Boot) -> None:
    machine = boot()
    machine.submit("spotwave.node.jobs.shci.flow.shci_node", calculation={"basis": "sto-3g"})
    machine.ended(180)
    assert machine.outcome.ending is Ending.COMPLETED, machine.outcome.reason
    result = json.loads((machine.remote / RESULT_FILE).read_text())
    assert result["rhf_energy"] == pytest.approx(-149.9353759264, abs=1e-8)
    assert result["total_energy"] < result["variational_energy"] < result["rhf_energy"]
    last = machine.lease
    assert last is not None
    assert (last.phase, last.outcome) == (Phase.ENDED, machine.outcome)

    record = machine.record()
    logs = [line["log"] for line in record if "log" in line]
    assert any("converged" in log["message"] for log in logs)
    assert {log["flow_run_id"] for log in logs} == {str(machine.run_id)}, "the controller's id"
    events = [line["event"] for line in record if "event" in line]
    related = [one for event in events for one in event["related"]]
    runs = {one["prefect.resource.id"] for one in related if one["prefect.resource.role"] == "flow-run"}
    assert runs == {f"prefect.flow-run.{machine.run_id}"}
    run_id = str(machine.run_id)
    for log in logs:  # the controller accepts the record (tasks.machine.replay_record)
        assert log_line(log, run_id, {log["task_run_id"]})["message"]
    for event in events:
        its_own = event | {"related": [one for one in event["related"] if one["prefect.resource.id"] in runs]}
        assert checked(its_own, run_id, named(its_own), kinds=("task-run",))
    states = {
        event["resource"]["prefect.resource.name"].rpartition("-")[0]: event["resource"]["prefect.state-name"]
        for event in sorted(events, key=lambda event: str(event["occurred"]))
    }
    assert states == dict.fromkeys(("hartree_fock", "choose_reference", "write_fcidump", "run_shci"), "Completed")
