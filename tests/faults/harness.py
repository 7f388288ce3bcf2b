"""One embedded default whose processes can be paused, the proxy, and the cases that run on it."""

from __future__ import annotations

import contextvars
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Scheduled

from spotwave.blocks.access import PrefectAccess
from spotwave.deployments import server, worker
from spotwave.flows.housekeeping.reconcile import adopt
from spotwave.flows.loop.run_lock import is_locked
from tests.conftest import Embedded
from tests.emulators.azure import AzureEmulator
from tests.emulators.computer import Computer
from tests.faults.fault_catalog import AWAY_S, FAULTS, Case, Fault
from tests.faults.hooked import Hooked
from tests.faults.live import Live
from tests.faults.steps import STEPS
from tests.faults.testbed import Testbed
from tests.faults.testbeds import make_testbed, port_of
from tests.faults.verdict import Verdict, judge
from tests.flows.clouds_kit import NAME, REQUIREMENTS, Login, proxy
from tests.flows.kit import ASKS_S, Job, eventually, now_and_then, saved

ARRIVES_S = 300.0
ENDS_S = 420.0
SILENCE_MINUTES = 0.5
ROOMY = {"max_vcpus": 16, "max_memory_gib": 256}  # the cheapest offer has less than half of that
EVERY_S = 4.0  # interval of `reconcile`, which is normally five minutes


@dataclass
class Harness:
    embedded: Embedded
    hooked: Hooked
    folder: Path
    api: dict[str, tuple[PrefectAccess, int]]
    _numbers: Iterator[int] = field(default_factory=count)

    def name(self) -> str:
        """Return a name for a case's folder and blocks."""
        return f"case-{next(self._numbers)}"

    def carry(self, case: Case, together: Round | None = None) -> Verdict:
        """Run one case from its start to its verdict. together: other cases that the same fault affects."""
        verdict = Verdict(case)
        fault = FAULTS[case.fault]
        name = self.name()
        testbed = make_testbed(case.cloud, self.folder / name, self.api, served=fault.served, small=fault.small)
        try:
            with (
                testbed,
                saved(self.embedded, name, *testbed.blocks()) as blocks,
                get_client(sync_client=True) as client,
            ):
                self._carry(verdict, testbed, blocks, client, together)
        except Exception as error:  # noqa: BLE001 - the other cases continue, and the table reports it
            traceback.print_exc()
            verdict.broken = f"{type(error).__name__}: {error}"
            if together is not None:
                together.barrier.abort()
        return verdict

    def _carry(
        self, verdict: Verdict, testbed: Testbed, blocks: list[str], client: SyncPrefectClient, together: Round | None
    ) -> None:
        fault, step = FAULTS[verdict.case.fault], STEPS[verdict.case.step]
        cloud, remote, store, access = blocks
        deployment = client.read_deployment_by_name("shci/water-dimer")
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={
                **{"clouds": [cloud], "remote": remote, "store": store, "access": access},
                **{"basis": "sto-3g", "silence_minutes": SILENCE_MINUTES, "max_hours": 0.5},
                **({} if testbed.kind == "local" else {"requirements": ROOMY if fault.too_small else REQUIREMENTS}),
            },
            state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1)),
        )
        job = Job(self.embedded.home, client, run.id)
        fault.prepare(testbed)
        plan = self.hooked.plan(
            job.key, call=step.call, when=step.when, attempt=step.attempt, clock=fault.clock, dies=fault.dies
        )
        live = Live(testbed, job, plan)
        try:
            begun = time.monotonic()
            client.set_flow_run_state(run.id, Scheduled(), force=True)
            over = now_and_then(lambda: self._over(job))
            eventually(f"{job.key} arrives at {step.name}", lambda: plan.waits or over(), ARRIVES_S)
            if not plan.waits:
                raise AssertionError(f"it ended before {step.name}: {job.run.state}")
            held = time.monotonic()
            before = live.generations()
            fault.strike(live)
            if together is not None:
                together.barrier.wait(ARRIVES_S)
            held = time.monotonic() - held
            plan.go_on()
            healing = _in_context(lambda: _heal_in_time(fault, live))
            if together is not None:
                together.after()
            state = self._final(job)
            if fault.by_hand:  # the job first handles its machine and its receipt
                eventually(f"nothing executes {job.key}", lambda: not is_locked(job.key), ENDS_S)
            healing.join()
            verdict.seconds = time.monotonic() - begun - held
            judge(verdict, live, state, before)
            if verdict.attempts < fault.machines:
                raise AssertionError(f"{fault.name} took no effect")
        finally:
            plan.forget()
            self._end(job, client)
            fault.heal(live)

    def _over(self, job: Job) -> bool:
        state = _retry(lambda: job.run.state)
        return state is not None and state.is_final() and not state.is_crashed()

    def _final(self, job: Job) -> State[Any] | None:
        """Wait for the final state. A crash is not final: reconcile restarts the job. None: the run is deleted."""
        if job.deleted:
            return None

        def look() -> State[Any] | None:
            state = _retry(lambda: job.run.state)
            return state if state is not None and state.is_final() and not state.is_crashed() else None

        return eventually(f"{job.key} ends", look, ENDS_S, ASKS_S)

    def _end(self, job: Job, client: SyncPrefectClient) -> None:
        """Cancel a job that did not end, so that it does not disturb the next cases."""
        if job.deleted:
            return
        state = _retry(lambda: job.run.state)
        if state is None or not state.is_final() or state.is_crashed():
            client.set_flow_run_state(job.run_id, Cancelled(), force=True)

    def kill_controller(self) -> None:
        note = worker.running(self.embedded.home)
        assert note is not None
        _kill(note.pid)

    def kill_server(self) -> None:
        note = server.running(self.embedded.home)
        assert note is not None
        _kill(note.pid)

    def up(self) -> None:
        """Run `up`, as a user does when something is down."""
        done = self.embedded.spotwave("up")
        assert done.returncode == 0, done.stdout + done.stderr


class Round:
    """Cases that one fault affects together: a barrier when all of them wait, and another when all continue."""

    def __init__(self, harness: Harness, fault: str, parties: int) -> None:
        blow = harness.kill_controller if "controller" in fault else harness.kill_server
        self.barrier = threading.Barrier(parties, blow)
        self._down_s = FAULTS[fault].down_s
        self._ground = harness
        self._lock = threading.Lock()
        self._up = False

    def after(self) -> None:
        """Restart the service after its downtime."""
        with self._lock:
            if not self._up:
                time.sleep(self._down_s)  # the processes continue meanwhile without it
                self._ground.up()
                self._up = True


@contextmanager
def harness_on(embedded: Embedded, hooked: Hooked, folder: Path) -> Iterator[Harness]:
    """Set up the harness on an embedded default that runs with `hooked.python`."""
    key = PrefectAccess.new_key()
    access = PrefectAccess(way="proxy", proxy_url="http://127.0.0.1:1", proxy_key=key)
    Computer.python = hooked.python
    with Login(AzureEmulator(boots=False)) as login, embedded.api.in_use(embedded.home):
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = login.url
        try:
            with saved(embedded, NAME, access), proxy(embedded, access) as port:
                through = access.model_copy(update={"proxy_url": f"http://127.0.0.1:{port}"})
                api = {"direct": (PrefectAccess(), port_of(embedded.api.url)), "proxy": (through, port)}
                with _housekeeping_runs():
                    yield Harness(embedded, hooked, folder, api)
        finally:
            del os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"]


def _heal_in_time(fault: Fault, live: Live) -> None:
    limit = time.monotonic() + AWAY_S
    while time.monotonic() < limit and not (fault.with_machine and live.ended(1)):
        time.sleep(0.2)  # no common event for the end of a machine
    fault.heal(live)


@contextmanager
def _housekeeping_runs() -> Iterator[None]:
    """Run housekeeping in a thread, so that crashed jobs are restarted. Its errors are raised at the end."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        keeper = pool.submit(contextvars.copy_context().run, _run_housekeeping, stop)
        try:
            yield
        finally:
            stop.set()
        keeper.result()


def _run_housekeeping(stop: threading.Event) -> None:
    """Do what the schedule of `reconcile` does, more often."""
    while not stop.wait(EVERY_S):
        try:
            with get_client(sync_client=True) as client:
                adopt(client)
        except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError):
            continue  # the server is down


def _in_context(work: Callable[[], None]) -> threading.Thread:
    """Start a thread in a copy of the context, which holds Prefect's settings."""
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(work), daemon=True)
    thread.start()
    return thread


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


def _retry(ask: Callable[[], Any]) -> Any:
    """Return the answer; None while the server is down."""
    try:
        return ask()
    except (httpx.HTTPError, PrefectHTTPStatusError):
        return None
