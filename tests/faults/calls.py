"""The other half of the matrix: every API call that a job makes to its cloud, with a wrong answer once or twice.

The calls are recorded from an undisturbed job of that cloud. A few different calls are disturbed in one job: if the job
passes, it passes for each of them. Here the controller's run is a thread of this process, since the fault does not
concern it; everything else is as usual.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State

from spotwave.flows.shci import shci
from tests.emulators import aws_faults, azure, gcp
from tests.emulators.aws import AwsEmulator
from tests.emulators.gcp import GcpEmulator
from tests.emulators.server import Answer, Fault, Request, Response, cut, lost
from tests.faults.emulated_testbed import Booting, EmulatedTestbed
from tests.faults.fault_catalog import Case
from tests.faults.harness import Harness
from tests.faults.live import Live
from tests.faults.verdict import Verdict, judge
from tests.flows.clouds_kit import REQUIREMENTS
from tests.flows.kit import Job, saved

ANSWERS = ("a 500", "a throttle", "a lost answer", "a truncated body")
RIGHT, ANY = "nothing wrong", "any call"
TOGETHER = 4  #: number of calls that are disturbed in one job

Struck = Callable[[], bool]


def calls_of(harness: Harness, cloud: str) -> tuple[Verdict, list[Case]]:
    """Run an undisturbed job; return its verdict, and a case for each of its calls and each kind of wrong answer."""
    seen: set[str] = set()
    (verdict,) = carry(harness, [Case(cloud, ANY, RIGHT)], seen)
    return verdict, [Case(cloud, call, answer) for call in sorted(seen) for answer in ANSWERS]


def together(cases: list[Case]) -> list[list[Case]]:
    """Group the cases by job: different calls of one cloud with the same fault. Alphabetical neighbours are kept apart,
    since they are similar."""
    alike: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        alike[case.cloud, case.fault].append(case)
    jobs: list[list[Case]] = []
    for same in alike.values():
        count = math.ceil(len(same) / TOGETHER)
        jobs += [same[turn::count] for turn in range(count)]
    return jobs


def carry_each(harness: Harness, cases: list[Case]) -> list[Verdict]:
    """Run the cases in one job; if it fails, run each case on its own."""
    verdicts = carry(harness, cases)
    if len(cases) == 1 or all(verdict.good for verdict in verdicts):
        return verdicts
    return [verdict for case in cases for verdict in carry(harness, [case])]


def carry(harness: Harness, cases: list[Case], seen: set[str] | None = None) -> list[Verdict]:
    """Run one job, and return its verdict for each of these cases. seen: collects the names of the calls."""
    verdict = Verdict(cases[0])
    testbed = EmulatedTestbed(verdict.case.cloud, harness.folder / harness.name(), harness.api["proxy"])
    struck: list[Struck] = []
    try:
        with testbed, saved(harness.embedded, testbed.folder.name, *testbed.blocks()) as blocks:
            struck = [_spoil(testbed.emulator, case) for case in cases]
            with get_client(sync_client=True) as client:
                _carry(harness, verdict, testbed, blocks, client)
            if seen is not None:
                seen |= {call.partition(" ")[0] for call in testbed.emulator.calls}
    except Exception as error:  # noqa: BLE001 - the other cases continue, and the table reports it
        traceback.print_exc()
        verdict.broken = f"{type(error).__name__}: {error}"
    verdicts = [replace(verdict, case=case) for case in cases]
    for one, has_struck in zip(verdicts, struck, strict=False):
        if not one.broken and not has_struck():
            one.broken = "the call was not made often enough"
    return verdicts


def _carry(
    harness: Harness, verdict: Verdict, testbed: EmulatedTestbed, blocks: list[str], client: SyncPrefectClient
) -> None:
    cloud, remote, store, access = blocks
    known: list[UUID] = []
    begun = time.monotonic()
    flow = shci.with_options(on_running=[lambda flow, run, state: known.append(run.id)])
    state: State[Any] = flow(
        clouds=[cloud],
        remote=remote,
        store=store,
        access=access,
        basis="sto-3g",
        silence_minutes=0.5,
        max_hours=0.5,
        requirements=REQUIREMENTS,
        return_state=True,
    )
    verdict.seconds = time.monotonic() - begun
    job = Job(harness.embedded.home, client, known[0])
    live = Live(testbed, job, harness.hooked.plan(job.key))
    live.plan.forget()
    judge(verdict, live, state, {})


def _spoil(emulator: Booting, case: Case) -> Struck:
    """Plan the wrong answer. A 500 and a throttle are refusals: the call has no effect, twice. With the other faults it
    takes effect, but its answer is lost or broken, once.

    Returns a function that says whether the fault has happened at least once.
    """
    call = case.step
    match case.fault:
        case "a lost answer":
            fault = Fault(lambda request: _is(emulator, request, call), lost(), 1)
            emulator.fail(fault)
        case "a truncated body":
            fault = Fault(lambda request: _is(emulator, request, call), cut(), 1)
            emulator.fail(fault)
        case "a 500":
            fault = _refuse(
                emulator, call, {"aws": aws_faults.server_error, "gcp": gcp.server_error, "azure": azure.server_error}
            )
        case "a throttle":
            fault = _refuse(
                emulator, call, {"aws": aws_faults.throttled, "gcp": gcp.throttled, "azure": azure.throttled}
            )
        case _:
            return lambda: True
    planned = fault.times
    return lambda: fault.times < planned


def _is(emulator: Booting, request: Request, call: str) -> bool:
    return emulator.name_of(request).partition(" ")[0] == call


def _refuse(emulator: Booting, call: str, answers: dict[str, Any]) -> Fault:
    if isinstance(emulator, GcpEmulator):
        answer: Answer = answers["gcp"]()
        return emulator.refuse(call, answer(Request("", "", {}, {}, b"", ""), Response(b"")), times=2)
    if isinstance(emulator, AwsEmulator):
        fault = aws_faults.fault(call, answers["aws"](), times=2)
    else:
        fault = azure.instead(call, answers["azure"](), times=2)
    emulator.fail(fault)
    return fault
