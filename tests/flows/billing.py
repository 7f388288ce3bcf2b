"""A job's receipt against what the emulated cloud has billed."""

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
FLOOR_S = 0.5  # of each machine's time; clocks of whole seconds, and a look at a process list, are no better


def receipt_in(folder: Path) -> dict[str, Any]:
    """As it was kept when the job ended, however that was. folder: of its results.

    A cancelled run may have its last state before its last steps: on a loaded computer seconds before.
    """
    path = folder / "receipt.json"
    eventually("the receipt is there", path.exists, 60.0)
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def wrong_with(told: dict[str, Any], ledger: Ledger) -> str | None:
    """None within 2 %, all attempts together: machines, disks and addresses; else what is wrong, in a line.

    Egress is left out: an emulator does not see what a machine sends. A machine of a rehearsal may live for ten
    seconds, of which 2 % are less than the second in which AWS dates an end: half a second of each machine is allowed
    for.
    """
    ids = [attempt["machine"] for attempt in told["attempts"]]
    if len(set(ids)) != len(ids):
        return "a machine is on the receipt twice"
    items = [item for id_ in ids for item in ledger.of_machine(id_)]
    if [item.kind for item in items].count("machine") != len(ids):
        return "the ledger does not know a machine of the receipt"
    if any(item.ended is None for item in items):
        return "something of a machine on the receipt still bills"
    said, billed = told["cost"]["usd"] - told["cost"]["parts"]["egress_usd"], sum(item.usd for item in items)
    floor = FLOOR_S / 3600 * sum(item.usd_h for item in items)
    if abs(said - billed) <= max(WITHIN * billed, floor):
        return None
    rows = [
        f"{a['ending']}: {a['usd']:.6f} for {a['bill']['seconds']} s, billed {_usd(ledger, a['machine']):.6f}"
        for a in told["attempts"]
    ]
    return f"receipt {said:.6f} USD, ledger {billed:.6f} USD ({'; '.join(rows)})"


def unsettled(told: dict[str, Any]) -> list[int]:
    """The attempts of a receipt whose end the cloud has yet to tell."""
    return [attempt["number"] for attempt in told["attempts"] if attempt["bill"]["unsettled"]]


def assert_receipt_matches(job: CloudJob) -> None:
    """Once it is settled, as `reconcile` does."""

    def settled() -> bool:
        settle_bills(job.client)
        return not unsettled(receipt_in(job.home.results / job.key))

    eventually("the receipt is settled", settled, 60, 0.5)
    wrong = wrong_with(receipt_in(job.home.results / job.key), job.cloud.emulator.ledger)
    assert wrong is None, wrong


def _usd(ledger: Ledger, id_: str) -> float:
    return sum(item.usd for item in ledger.of_machine(id_))
