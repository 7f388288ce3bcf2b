"""The verdict of a case: one correct result, no machine too many, nothing left behind, no checkpoint lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prefect.client.schemas.objects import State, StateType

from spotwave.tasks.cost.receipt import RECEIPT_FILE
from tests.faults.fault_catalog import FAULTS, Case
from tests.faults.live import Live
from tests.flows.billing import receipt_in, unsettled
from tests.flows.kit import UNDISTURBED
from tests.flows.logs import messages

CLOSE_HA = 1e-8
PATIENCE_S = 30.0  # time limit until an ended machine is gone from lists, and its cloud has reported the end


@dataclass
class Verdict:
    case: Case
    outcome: str = ""  #: "completed", "failed: <why>"
    attempts: int = 0
    seconds: float = 0.0  #: from start to end, without the time for which the harness paused it
    usd: float = 0.0  #: from the cloud's own ledger
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unbilled: list[str] = field(default_factory=list)  #: differences between receipt and ledger
    orphans: list[str] = field(default_factory=list)
    broken: str = ""  #: why the harness could not complete the case

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.orphans or self.unbilled or self.broken)

    @property
    def problem(self) -> str:
        """Return what is wrong, in one line."""
        parts = [f"{word}: {'; '.join(what)}" for word, what in self._wrongs() if what]
        return " | ".join([*parts, *([f"not completed: {self.broken}"] if self.broken else [])])

    def _wrongs(self) -> list[tuple[str, list[str]]]:
        return [("LOST", self.lost), ("DOUBLED", self.doubled), ("ORPHANS", self.orphans), ("RECEIPT", self.unbilled)]


def judge(verdict: Verdict, live: Live, state: State[Any] | None, before: dict[str, int]) -> None:
    """Fill in the verdict. state: of the run, None if deleted. before: `generations` at the time of the fault."""
    fault = FAULTS[verdict.case.fault]
    if fault.by_hand or fault.ends is not StateType.COMPLETED:
        verdict.outcome = "deleted" if state is None else f"{str(state.name).lower()}: {state.message}"
        if (None if state is None else state.type) is not fault.ends:
            verdict.lost.append(f"unexpected final state: {verdict.outcome}")
    elif state is None:
        verdict.lost.append("the run was deleted")
    elif state.type is StateType.COMPLETED:
        verdict.outcome = "completed"
        verdict.lost += _wrong_energies(live.job.result) + _repeated_work(live, before)
        if fault.too_small:
            verdict.lost += _wrong_successor(verdict.case, live.job.result["attempts"])
    elif _accepted_error(verdict.case, state):
        verdict.outcome = f"ended: {state.message}"
    else:
        verdict.outcome = f"{str(state.name).lower()}: {state.message}"
        verdict.lost.append(verdict.outcome)
    verdict.lost += _lost_checkpoints(live, before)
    lives = sorted(live.testbed.lives(live.key))
    verdict.attempts = len(lives)
    verdict.doubled += [
        f"two machines at once for {ended - begun:.1f} s" for (_, ended), (begun, _) in pairwise(lives) if begun < ended
    ]
    if (fault.by_hand or fault.ends is not StateType.COMPLETED) and len(lives) > 1:
        verdict.doubled.append(f"{len(lives)} machines for an ended job")
    done = [run.name for run in live.job.node_runs() if run.state_type is StateType.COMPLETED]
    if len(done) > 1:
        verdict.doubled.append(f"{' and '.join(done)} both completed")
    verdict.usd = live.testbed.usd(live.key)
    verdict.unbilled += _unbilled(live, len(lives))
    limit = time.monotonic() + PATIENCE_S
    while (left := _left_behind(live)) and time.monotonic() < limit:
        time.sleep(0.5)  # clouds do not notify of completed deletions
    verdict.orphans += left


def _accepted_error(case: Case, state: State[Any]) -> bool:
    """Whether the job ended with the one accepted error, because no other machine could succeed."""
    begins = FAULTS[case.fault].ends_here if case.cloud == "local" else ""
    return state.is_failed() and bool(begins) and str(state.message).startswith(begins)


def _unbilled(live: Live, machines: int) -> list[str]:
    folder = live.job.home.results / live.key
    if not machines:
        return []
    if not (folder / RECEIPT_FILE).exists():
        return ["there is no receipt"]
    limit = time.monotonic() + PATIENCE_S
    while (open_attempts := unsettled(receipt := receipt_in(folder))) and time.monotonic() < limit:
        time.sleep(0.5)  # until `reconcile` has settled it (tests.faults.harness)
    if open_attempts:
        return [f"the cloud has not reported the end of attempts {open_attempts}"]
    if len(receipt["attempts"]) != machines:
        return [f"{machines} machines were billed, but {len(receipt['attempts'])} are on the receipt"]
    wrong = live.testbed.wrong_receipt(receipt)
    return [wrong] if wrong else []


def _left_behind(live: Live) -> list[str]:
    """Return what is still billed or should not outlive the job."""
    found = live.testbed.left(live.key)
    for id_ in live.testbed.machine_ids(live.key):
        if processes := live.testbed.processes(id_):
            found.append(f"{len(processes)} processes of {id_}")
    queues = live.job.client.read_work_queues(work_pool_name="machines")
    return found + [f"queue {queue.name}" for queue in queues if queue.name.startswith(live.key)]


def _wrong_energies(result: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {result[name]:.10f}, not {right:.10f}"
        for name, right in UNDISTURBED.items()
        if abs(result[name] - right) > CLOSE_HA
    ]


def _repeated_work(live: Live, before: dict[str, int]) -> list[str]:
    """Check that work which was saved before the fault is not computed again."""
    runs = live.job.node_runs()
    if not before or len(runs) < 2:
        return []
    lines = messages(live.job.client, runs[-1].id)
    return [] if any("taken from the checkpoint" in line for line in lines) else ["the saved SCF was computed again"]


def _wrong_successor(case: Case, attempts: list[dict[str, Any]]) -> list[str]:
    """Check that the reported step is right, and that the next machine has twice the memory."""
    first, second = attempts[0], attempts[1]
    wrong = [] if (first["cause"], first["step"]) == ("memory", case.step) else [f"reported as {first['reason']}"]
    if second["memory_gib"] < 2 * first["memory_gib"]:
        wrong.append(f"{second['memory_gib']} GiB after {first['memory_gib']} GiB")
    return wrong


def _lost_checkpoints(live: Live, before: dict[str, int]) -> list[str]:
    """Check that the checkpoints from before the fault, or newer ones, exist on the remote in full size."""
    now = live.generations()
    wrong = [
        f"checkpoint {name} had {size} bytes and has {now[name]}"
        for name, size in before.items()
        if name in now and now[name] < size
    ]
    if before and max(now, default="") < max(before):
        wrong.append(f"checkpoint {max(before)} is gone, and there is no newer one")
    return wrong
