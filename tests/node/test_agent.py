"""The machine's agent on its own, against an API with one lease."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from spotwave.node.agent.engine import MOST_STARTS
from spotwave.node.contract import (
    CHECKPOINT_DIR,
    ENGINE_PID_FILE,
    FENCE_FILE,
    HEARTBEAT_FILE,
    OUTCOME_FILE,
    PROGRESS_FILE,
    Cause,
    Ending,
    Fence,
    Lease,
    Outcome,
    Phase,
    Progress,
)
from spotwave.node.storage import checkpoint
from spotwave.node.storage.manifest import FileMark, Manifest
from tests.emulators.computer import MetadataService
from tests.emulators.metadata import AwsMetadata
from tests.node import agent_kit
from tests.node.agent_kit import Api, Start, until
from tests.processes import words
from tests.security.tls_kit import authority

agent, api = agent_kit.agent, agent_kit.api


def test_a_machine_without_a_run_ends_itself_and_reports_it(api: Api, agent: Start) -> None:
    machine = agent(boot_s=2.0)
    machine.ended()
    assert machine.outcome.ending is Ending.FORGOTTEN
    last = api.leases[-1]
    assert last.phase is Phase.ENDED
    assert last.outcome == machine.outcome
    assert [lease.beat for lease in api.leases] == sorted({lease.beat for lease in api.leases})
    assert (machine.remote / "attempts/1/agent.log").stat().st_size > 0


def test_a_fenced_machine_stops_and_writes_nothing(api: Api, agent: Start) -> None:
    machine = agent()
    until(lambda: api.leases)
    api.fenced = True
    machine.ended()
    assert not (machine.remote / "attempts").exists()


def test_a_suspended_machine_saves_and_reports_it(api: Api, agent: Start) -> None:
    machine = agent()
    until(lambda: api.leases)
    (machine.remote / "attempts/1").mkdir(parents=True)
    (machine.remote / "attempts/1" / FENCE_FILE).write_text(Fence(save_s=20).to_json())
    api.fenced = True
    machine.ended()
    assert machine.outcome.ending is Ending.SUSPENDED
    assert (machine.remote / "attempts/1/agent.log").stat().st_size > 0


def test_a_machine_past_its_deadline_ends(agent: Start) -> None:
    machine = agent(deadline=time.time() + 62)  # a minute is reserved for the last copy
    machine.ended()
    assert machine.outcome.ending is Ending.DEADLINE


def test_a_notice_before_any_work_is_an_interruption(api: Api, agent: Start, tmp_path: Path) -> None:
    machine = agent()
    until(lambda: api.leases)
    (tmp_path / "notice.json").write_text(json.dumps({"action": "terminate", "time": time.time() + 20}))
    machine.ended(20)
    assert machine.outcome.ending is Ending.INTERRUPTED


def test_the_outcome_has_the_times_of_the_notice_and_of_the_last_checkpoint(
    api: Api, agent: Start, tmp_path: Path
) -> None:
    machine = agent()
    until(lambda: api.leases)
    begun, made = time.time(), tmp_path / "made"
    made.write_text("so far")
    checkpoint.seal(machine.work / CHECKPOINT_DIR, "001-00001", {"made": made}, step="begin")
    (tmp_path / "notice.json").write_text(json.dumps({"action": "terminate", "time": time.time() + 20}))
    machine.ended(20)
    outcome = machine.outcome
    assert (outcome.ending, outcome.generation) == (Ending.INTERRUPTED, "001-00001")
    assert outcome.notice_at is not None
    assert outcome.saved_at is not None
    assert begun <= min(outcome.notice_at, outcome.saved_at)
    assert max(outcome.notice_at, outcome.saved_at) <= time.time()


def test_a_notice_that_the_host_shuts_down_is_not_an_interruption(api: Api, agent: Start, tmp_path: Path) -> None:
    machine = agent()
    until(lambda: api.leases)
    (tmp_path / "notice.json").write_text(json.dumps({"action": "shutdown", "time": time.time() + 20}))
    machine.ended(20)
    assert machine.outcome.ending is Ending.HOST_DOWN


def test_no_work_begins_if_all_checkpoints_are_damaged(agent: Start, tmp_path: Path) -> None:
    damaged = tmp_path / "remote" / "checkpoint" / "001-00001"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("{")
    (damaged.parent / "LATEST").write_text("001-00001\n")
    machine = agent()
    machine.ended()
    assert machine.outcome.ending is Ending.FAILED
    assert "001-00001" in machine.outcome.reason
    assert not (machine.work / "worker.log").exists()
    assert (damaged / "manifest.json").read_text() == "{", "the checkpoint is not removed"


@pytest.mark.parametrize(("cloud", "ending"), [("", Ending.HOST_DOWN), ("aws", Ending.INTERRUPTED)])
def test_an_agent_that_gets_sigterm_reports_why_it_ended(api: Api, agent: Start, cloud: str, ending: Ending) -> None:
    """On a user's own computer, no cloud reclaims the machine."""
    machine = agent(cloud={"SPOTWAVE_CLOUD": cloud, "SPOTWAVE_METADATA": "http://127.0.0.1:9"})
    until(lambda: api.leases)
    machine.process.terminate()
    machine.ended()
    assert machine.outcome.ending is ending


def test_an_early_hint_causes_a_copy_but_no_stop(agent: Start) -> None:
    metadata = AwsMetadata("i-0123", region="eu-central-1", zone="eu-central-1a")
    with MetadataService(metadata) as served:
        machine = agent(cloud={"SPOTWAVE_CLOUD": "aws", "SPOTWAVE_METADATA": served.url})
        until((machine.work / "worker.log").exists)
        (machine.work / "output/iterations.csv").write_text("1")
        metadata.rebalance()
        until((machine.remote / "output/iterations.csv").exists)
        assert machine.process.poll() is None
        assert (machine.work / "agent.log").read_text().count("copying the current files") == 1


def test_a_worker_that_ends_before_its_run_is_restarted_a_few_times(api: Api, agent: Start) -> None:
    machine = agent(silence_s=120.0)
    killed: set[int] = set()

    def another() -> psutil.Process | None:
        children = psutil.Process(machine.process.pid).children()
        return next(
            (one for one in children if one.pid not in killed and "spotwave.node.agent.attempt_worker" in words(one)),
            None,
        )

    for _ in range(MOST_STARTS):
        worker = until(another)
        killed.add(worker.pid)
        worker.kill()
    machine.ended()
    assert machine.outcome.ending is Ending.LOST
    assert "the worker ended before the run" in machine.outcome.reason
    assert (machine.work / "agent.log").read_text().count("is restarted") == MOST_STARTS - 1


def test_a_machine_that_does_not_trust_the_api_reports_it(agent: Start, tmp_path: Path) -> None:
    """An API whose certificate is issued by an authority that this machine does not trust."""
    own = authority(tmp_path / "own")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.folder / "fullchain.pem", own.folder / "privkey.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        machine = agent(silence_s=2.0, url=f"https://127.0.0.1:{server.server_port}/api")
        machine.ended()
        server.shutdown()
    assert machine.outcome.ending is Ending.FORGOTTEN
    assert "no lease renewal for" in machine.outcome.reason
    assert "CERTIFICATE_VERIFY_FAILED" in machine.outcome.reason


def test_a_run_that_cannot_reach_the_api_does_not_keep_a_finished_machine(api: Api, agent: Start) -> None:
    """Its heartbeat goes to the remote, so that the controller does not treat it as silent."""
    machine = agent(done_s=1.0)
    until((machine.work / "worker.log").exists)
    engine = subprocess.Popen(["sleep", "600"], start_new_session=True)  # stands for Prefect's client, which retries
    try:
        (machine.work / ENGINE_PID_FILE).write_text(str(engine.pid))
        until(lambda: api.leases[-1].phase is Phase.WORKING)
        api.away = True
        until(lambda: "lease not renewed" in (machine.work / "agent.log").read_text())
        assert machine.process.poll() is None, "an unreachable API does not end the machine while work goes on"
        Outcome(Ending.COMPLETED, "all done").write(machine.work / OUTCOME_FILE)
        machine.ended()
        assert machine.outcome.ending is Ending.COMPLETED
        assert engine.wait(10) == -signal.SIGKILL
    finally:
        engine.kill()
        engine.wait()


def test_a_crash_of_the_run_is_reported_with_its_step(api: Api, agent: Start) -> None:
    machine = agent()
    until((machine.work / "worker.log").exists)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as engine:
        Progress("run_shci", 40.0, "at work").write(machine.work / PROGRESS_FILE)
        (machine.work / ENGINE_PID_FILE).write_text(str(engine.pid))
        until(lambda: api.leases[-1].phase is Phase.WORKING)
        engine.kill()
    machine.ended()
    outcome = machine.outcome
    assert (outcome.ending, outcome.cause, outcome.step) == (Ending.LOST, Cause.PROGRAM, "run_shci")
    assert "memory" not in outcome.reason, "the OOM killer was not active"


def test_a_checkpoint_that_does_not_fit_requires_a_larger_disk(agent: Start, tmp_path: Path) -> None:
    """The checkpoint's file is sparse: the size it would have on this disk counts."""
    sealed = tmp_path / "remote" / "checkpoint" / "001-00001"
    sealed.mkdir(parents=True)
    with (sealed / "large").open("wb") as stream:
        stream.truncate(1 << 43)
    manifest = Manifest("001-00001", 1.0, "run_shci", {}, {"large": FileMark(1 << 43, "0" * 64)})
    (sealed / "manifest.json").write_text(manifest.to_json())
    (sealed.parent / "LATEST").write_text("001-00001\n")
    machine = agent()
    machine.ended()
    assert (machine.outcome.ending, machine.outcome.cause) == (Ending.LOST, Cause.DISK)


def test_while_the_api_is_unreachable_the_heartbeat_goes_to_the_remote(api: Api, agent: Start) -> None:
    machine = agent()
    until((machine.work / "worker.log").exists)
    heartbeat = machine.remote / "attempts/1" / HEARTBEAT_FILE
    assert not heartbeat.exists(), "no regular copy is due yet, and the API answers"
    api.away = True
    first = until(lambda: Lease.from_json(heartbeat.read_text()).beat if heartbeat.exists() else None)
    assert first > api.leases[-1].beat
    until(lambda: Lease.from_json(heartbeat.read_text()).beat > first)
    assert machine.process.poll() is None
