"""The other half of the matrix: every call that a job makes of its cloud, answered wrong once or twice.

Which calls there are is not listed but seen: in an undisturbed job of that cloud. Here the controller's run is a thread
of this process, since it is not what the fault strikes; all else is as ever.
"""

from __future__ import annotations

import time
import traceback
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State

from flows.shci import shci
from tests.emulators import aws_faults, azure, gcp
from tests.emulators.aws import AwsEmulator
from tests.emulators.azure import AzureEmulator
from tests.emulators.server import Answer, Fault, Request, Response, cut, lost
from tests.faults.emulated_site import Booting, EmulatedSite
from tests.faults.ground import Ground
from tests.faults.injuries import Case
from tests.faults.live import Live
from tests.faults.verdict import Verdict, judge
from tests.flows.clouds_kit import REQUIREMENTS
from tests.flows.kit import Job, saved

ANSWERS = ("a 500", "a throttle", "a lost answer", "a truncated body")
RIGHT, ANY = "nothing wrong", "any call"


def calls_of(ground: Ground, cloud: str) -> tuple[Verdict, list[Case]]:
    """An undisturbed job, and a case for every call that it made and everything that can be wrong with an answer."""
    seen: set[str] = set()
    verdict = carry(ground, Case(cloud, ANY, RIGHT), seen)
    return verdict, [Case(cloud, call, answer) for call in sorted(seen) for answer in ANSWERS]


def carry(ground: Ground, case: Case, seen: set[str] | None = None) -> Verdict:
    """seen: takes the names of the calls."""
    verdict = Verdict(case)
    site = EmulatedSite(case.cloud, ground.folder / ground.name(), ground.api["proxy"])
    try:
        with site, saved(ground.embedded, site.folder.name, *site.blocks()) as blocks:
            with get_client(sync_client=True) as client:
                _carry(ground, verdict, site, blocks, client)
            if seen is not None:
                seen |= {call.partition(" ")[0] for call in site.emulator.calls}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cases go on and the table tells it
        traceback.print_exc()
        verdict.broken = f"{type(error).__name__}: {error}"
    return verdict


def _carry(ground: Ground, verdict: Verdict, site: EmulatedSite, blocks: list[str], client: SyncPrefectClient) -> None:
    cloud, remote, store, access = blocks
    known: list[UUID] = []
    if verdict.case.fault != RIGHT:
        _spoil(site.emulator, verdict.case)
    begun = time.monotonic()
    told = shci.with_options(on_running=[lambda flow, run, state: known.append(run.id)])
    state: State[Any] = told(
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
    job = Job(ground.embedded.home, client, known[0])
    live = Live(site, job, ground.hooked.plan(job.key))
    live.plan.forget()
    judge(verdict, live, state, {})


def _spoil(emulator: Booting, case: Case) -> None:
    """A 500 and a throttle are refusals: nothing is done, twice. Of the others all is done, and badly told, once."""
    call = case.step
    match case.fault:
        case "a lost answer":
            emulator.fail(Fault(lambda request: _is(emulator, request, call), lost(), 1))
        case "a truncated body":
            emulator.fail(Fault(lambda request: _is(emulator, request, call), cut(), 1))
        case "a 500":
            _refuse(
                emulator, call, {"aws": aws_faults.server_error, "gcp": gcp.server_error, "azure": azure.server_error}
            )
        case "a throttle":
            _refuse(emulator, call, {"aws": aws_faults.throttled, "gcp": gcp.throttled, "azure": azure.throttled})


def _is(emulator: Booting, request: Request, call: str) -> bool:
    return emulator.name_of(request).partition(" ")[0] == call


def _refuse(emulator: Booting, call: str, answers: dict[str, Any]) -> None:
    if isinstance(emulator, AwsEmulator):
        emulator.fail(aws_faults.fault(call, answers["aws"](), times=2))
    elif isinstance(emulator, AzureEmulator):
        emulator.fail(azure.instead(call, answers["azure"](), times=2))
    else:
        answer: Answer = answers["gcp"]()
        emulator.refuse(call, answer(Request("", "", {}, {}, b"", ""), Response(b"")), times=2)
