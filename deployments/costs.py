"""The output of `spotwave costs`: the sums of the ledger of spending as a table, JSON or a picture."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.costs import By, Cost, by, figure, read, rows


def summed(store: SnapshotStore, what: By) -> list[Cost]:
    """Return the costs grouped by `what`. Raises StoreUnavailable."""
    return by(read(store), what)


def as_json(costs: list[Cost]) -> str:
    return json.dumps(rows(costs), indent=1)


def as_table(costs: list[Cost], what: By) -> Table:
    table = Table(title=None)
    table.add_column(what)
    for name in ("USD", "reserved USD", "on demand USD", "saved", "hours", "jobs", "machines"):
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            cost.name,
            f"{cost.usd:.4f}",
            f"{cost.reserved_usd:.4f}" if cost.running else "-",
            "?" if cost.on_demand_usd is None else f"{cost.on_demand_usd:.4f}",
            f"{1 - cost.usd / cost.on_demand_usd:.0%}" if cost.on_demand_usd else "-",
            f"{cost.hours:.3f}",
            str(cost.jobs),
            f"{cost.attempts} ({cost.running} reserved)" if cost.running else str(cost.attempts),
        )
    return table


def closing(costs: list[Cost]) -> str:
    """Return the total in one line."""
    spent, reserved = sum(cost.usd for cost in costs), sum(cost.reserved_usd for cost in costs)
    running = f", {reserved:.4f} USD reserved by running jobs" if reserved or any(one.running for one in costs) else ""
    return f"{spent:.4f} USD spent{running}"


def draw(costs: list[Cost], what: By, file: Path) -> None:
    """Write the picture. Raises ValueError with a line for the user if there are no costs or the file is invalid."""
    if not costs:
        raise ValueError("--picture: there are no costs to draw yet")
    try:
        figure(costs, what).savefig(file, dpi=110)
    except (OSError, ValueError) as error:
        raise ValueError(f"--picture: {file} cannot be written ({error}); give a file such as costs.png") from error
