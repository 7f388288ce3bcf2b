"""Compare a job's receipt with what the emulated cloud has billed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spotwave.flows.housekeeping.settle_bills import settle_bills
from tests.emulators.ledger import Ledger
from tests.flows.kit import eventually

if TYPE_CHECKING:
    from tests.flows.clouds_kit import CloudJob

WITHIN = 0.02
FLOOR_S = 0.5  # of each machine's time: clocks with whole seconds and polls of a process list are not more precise


def receipt_in(folder: Path) -> dict[str, Any]:
    """Return the receipt as written when the job ended. folder: of its results.

    A cancelled run may get its final state before its last steps: on a loaded computer, seconds before.
    """
    path = folder / "receipt.json"
    eventually("the receipt exists", path.exists, 60.0)
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def wrong_with(receipt: dict[str, Any], ledger: Ledger) -> str | None:
    """Return None if receipt and ledger agree within 2 %, over machines, disks and addresses of all attempts; else the
    problem in one line.

    Egress is left out: an emulator does not see what a machine sends. A machine of a rehearsal may run for only ten
    seconds, of which 2 % are less than the second in which AWS dates an end, so half a second per machine is tolerated.
    """
    ids = [attempt["machine"] for attempt in receipt["attempts"]]
    if len(set(ids)) != len(ids):
        return "a machine is on the receipt twice"
    items = [item for id_ in ids for item in ledger.of_machine(id_)]
    if [item.kind for item in items].count("machine") != len(ids):
        return "a machine of the receipt is missing in the ledger"
    if any(item.ended is None for item in items):
        return "a machine on the receipt is still billed"
    charged, billed = receipt["cost"]["usd"] - receipt["cost"]["parts"]["egress_usd"], sum(item.usd for item in items)
    floor = FLOOR_S / 3600 * sum(item.usd_h for item in items)
    if abs(charged - billed) <= max(WITHIN * billed, floor):
        return None
    rows = [
        f"{a['ending']}: {a['usd']:.6f} for {a['bill']['seconds']} s, billed {_usd(ledger, a['machine']):.6f}"
        for a in receipt["attempts"]
    ]
    return f"receipt {charged:.6f} USD, ledger {billed:.6f} USD ({'; '.join(rows)})"


def unsettled(receipt: dict[str, Any]) -> list[int]:
    """Return the attempts of a receipt whose end the cloud has not reported yet."""
    return [attempt["number"] for attempt in receipt["attempts"] if attempt["bill"]["unsettled"]]


def assert_receipt_matches(job: CloudJob) -> None:
    """Settle the bills as `reconcile` does, then compare."""

    def settled() -> bool:
        settle_bills(job.client)
        return not unsettled(receipt_in(job.home.results / job.key))

    eventually("the receipt is settled", settled, 60, 0.5)
    wrong = wrong_with(receipt_in(job.home.results / job.key), job.cloud.emulator.ledger)
    assert wrong is None, wrong


def _usd(ledger: Ledger, id_: str) -> float:
    return sum(item.usd for item in ledger.of_machine(id_))
