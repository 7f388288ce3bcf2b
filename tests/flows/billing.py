"""A job's receipt against what the emulated cloud has billed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flows.clouds_kit import CloudJob

WITHIN = 0.02
SEEN_S = 15.0  # where a cloud does not tell when a machine ended, its end is when the controller saw it


def receipt_of(job: CloudJob) -> dict[str, Any]:
    """As it was kept when the job ended, however that was."""
    found = json.loads((job.home.results / job.key / "receipt.json").read_text())
    assert isinstance(found, dict)
    return found


def assert_receipt_matches(job: CloudJob) -> tuple[float, float]:
    """Within 2 %, all attempts together: machines, disks and addresses. (USD of the receipt, of the ledger).

    Egress is left out: an emulator does not see what a machine sends. Seconds that pass before the controller sees an
    end that no cloud tells of are nothing on a bill of hours, but much on one of half a minute: they are allowed for,
    and only upwards.
    """
    told = receipt_of(job)
    ids = [attempt["machine"] for attempt in told["attempts"]]
    assert len(set(ids)) == len(ids), "a machine is on the receipt twice"
    items = [item for id_ in ids for item in job.cloud.emulator.ledger.of_machine(id_)]
    assert [item.kind for item in items].count("machine") == len(ids)
    assert all(item.ended is not None for item in items), "something of a machine on the receipt still bills"
    said, billed = told["cost"]["usd"] - told["cost"]["parts"]["egress_usd"], sum(item.usd for item in items)
    rows = [
        (a["machine"][-30:], round(a["usd"], 6), a["bill"]["seconds"], round(_usd(job, a["machine"]), 6), a["ending"])
        for a in told["attempts"]
    ]
    unseen = sum(
        SEEN_S / 3600 * sum(item.usd_h for item in job.cloud.emulator.ledger.of_machine(attempt["machine"]))
        for attempt in told["attempts"]
        if not attempt["bill"]["end_told"]
    )
    print(f"{job.cloud.kind}: receipt {said:.6f} USD, ledger {billed:.6f} USD", *rows, sep="\n  ")  # shown with -s
    if billed < said <= billed + unseen:
        return said, billed
    assert said == pytest.approx(billed, rel=WITHIN), f"receipt {said:.6f} USD, ledger {billed:.6f} USD: {rows}"
    return said, billed


def _usd(job: CloudJob, id_: str) -> float:
    return sum(item.usd for item in job.cloud.emulator.ledger.of_machine(id_))
