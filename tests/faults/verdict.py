"""What came of a case: one right result, no machine too many, nothing left, nothing overwritten by less."""

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
PATIENCE_S = 30.0  # until a machine that has just ended is seen to be gone, and its cloud has told when it ended


@dataclass
class Verdict:
    case: Case
    outcome: str = ""  #: "completed", "failed: <why>"
    attempts: int = 0
    seconds: float = 0.0  #: from its start to its end, without the time that the harness held it
    usd: float = 0.0  #: by the cloud's own ledger
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unbilled: list[str] = field(default_factory=list)  #: where the receipt is not the ledger
    orphans: list[str] = field(default_factory=list)
    broken: str = ""  #: why the harness could not carry the case through

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.orphans or self.unbilled or self.broken)

    @property
    def told(self) -> str:
        """What is wrong, in one line."""
        parts = [f"{word}: {'; '.join(what)}" for word, what in self._wrongs() if what]
        return " | ".join([*parts, *([f"not carried through: {self.broken}"] if self.broken else [])])

    def _wrongs(self) -> list[tuple[str, list[str]]]:
        return [("LOST", self.lost), ("DOUBLED", self.doubled), ("ORPHANS", self.orphans), ("RECEIPT", self.unbilled)]


def judge(verdict: Verdict, live: Live, state: State[Any] | None, before: dict[str, int]) -> None:
    """state: the run's; None where it is deleted. before: what `generations` told when the fault struck."""
    fault = FAULTS[verdict.case.fault]
    if fault.by_hand or fault.ends is not StateType.COMPLETED:
        verdict.outcome = "deleted" if state is None else f"{str(state.name).lower()}: {state.message}"
        if (None if state is None else state.type) is not fault.ends:
            verdict.lost.append(f"its run has not ended as it should: {verdict.outcome}")
    elif state is None:
        verdict.lost.append("its run is gone")
    elif state.type is StateType.COMPLETED:
        verdict.outcome = "completed"
        verdict.lost += _wrong_energies(live.job.result) + _thrown_away(live, before)
        if fault.too_small:
            verdict.lost += _no_bigger(verdict.case, live.job.result["attempts"])
    elif _told_why(verdict.case, state):
        verdict.outcome = f"ended: {state.message}"
    else:
        verdict.outcome = f"{str(state.name).lower()}: {state.message}"
        verdict.lost.append(verdict.outcome)
    verdict.lost += _less(live, before)
    lives = sorted(live.testbed.lives(live.key))
    verdict.attempts = len(lives)
    verdict.doubled += [
        f"two machines at once for {ended - begun:.1f} s" for (_, ended), (begun, _) in pairwise(lives) if begun < ended
    ]
    if (fault.by_hand or fault.ends is not StateType.COMPLETED) and len(lives) > 1:
        verdict.doubled.append(f"{len(lives)} machines for a job that had ended")
    done = [run.name for run in live.job.node_runs() if run.state_type is StateType.COMPLETED]
    if len(done) > 1:
        verdict.doubled.append(f"{' and '.join(done)} have both completed")
    verdict.usd = live.testbed.usd(live.key)
    verdict.unbilled += _unbilled(live, len(lives))
    limit = time.monotonic() + PATIENCE_S
    while (left := _left_behind(live)) and time.monotonic() < limit:
        time.sleep(0.5)  # no cloud tells when the last of it is gone
    verdict.orphans += left


def _told_why(case: Case, state: State[Any]) -> bool:
    """One clear line, where no other machine could do better."""
    begins = FAULTS[case.fault].ends_here if case.cloud == "local" else ""
    return state.is_failed() and bool(begins) and str(state.message).startswith(begins)


def _unbilled(live: Live, machines: int) -> list[str]:
    folder = live.job.home.results / live.key
    if not machines:
        return []
    if not (folder / RECEIPT_FILE).exists():
        return ["there is none"]
    limit = time.monotonic() + PATIENCE_S
    while (waited_for := unsettled(told := receipt_in(folder))) and time.monotonic() < limit:
        time.sleep(0.5)  # until `reconcile` has asked again (tests.faults.harness)
    if waited_for:
        return [f"the cloud has not told the end of attempts {waited_for}"]
    if len(told["attempts"]) != machines:
        return [f"{machines} machines were billed, and {len(told['attempts'])} are on it"]
    wrong = live.testbed.wrong_receipt(told)
    return [wrong] if wrong else []


def _left_behind(live: Live) -> list[str]:
    """What bills or should not outlive the job."""
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


def _thrown_away(live: Live, before: dict[str, int]) -> list[str]:
    """What an earlier machine had saved when the fault struck must not be computed again."""
    runs = live.job.node_runs()
    if not before or len(runs) < 2:
        return []
    told = messages(live.job.client, runs[-1].id)
    return [] if any("taken from the checkpoint" in line for line in told) else ["the saved SCF was computed again"]


def _no_bigger(case: Case, attempts: list[dict[str, Any]]) -> list[str]:
    """Where it died is told, and the next machine has twice the memory."""
    died, followed = attempts[0], attempts[1]
    wrong = [] if (died["cause"], died["step"]) == ("memory", case.step) else [f"told as {died['reason']}"]
    if followed["memory_gib"] < 2 * died["memory_gib"]:
        wrong.append(f"{followed['memory_gib']} GiB after {died['memory_gib']} GiB")
    return wrong


def _less(live: Live, before: dict[str, int]) -> list[str]:
    """What the remote had when the fault struck must be there, or something newer; and never shorter than it was."""
    now = live.generations()
    wrong = [
        f"checkpoint {name} had {size} bytes and has {now[name]}"
        for name, size in before.items()
        if name in now and now[name] < size
    ]
    if before and max(now, default="") < max(before):
        wrong.append(f"checkpoint {max(before)} is gone, and no newer one is there")
    return wrong
