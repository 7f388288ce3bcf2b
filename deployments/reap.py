"""The output of `spotwave reap`: Spotwave's cloud resources, and which of them are removed."""

from __future__ import annotations

from rich.table import Table

from spotwave.flows.housekeeping.reap import Survey


def as_table(seen: Survey) -> Table:
    """Return a table of the resources with their place and job, and the reason for removal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("what", "id", "where", "job"):
        table.add_column(title)
    table.add_column("USD/h", justify="right")
    table.add_column("removed because")
    for one in seen.things:
        price = "" if one.usd_h is None else f"{one.usd_h:.4f}"
        table.add_row(one.kind, one.thing.id, one.where, one.thing.job_key, price, one.reason or "kept")
    return table
