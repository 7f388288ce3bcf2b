"""What `spotwave reap` shows: everything of ours, and what of it nobody wants."""

from __future__ import annotations

from rich.table import Table

from spotwave.flows.housekeeping.reap import Survey


def as_table(seen: Survey) -> Table:
    """What is there, where, of which job, and whether it goes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("what", "id", "where", "job"):
        table.add_column(title)
    table.add_column("USD/h", justify="right")
    table.add_column("goes because")
    for one in seen.things:
        price = "" if one.usd_h is None else f"{one.usd_h:.4f}"
        table.add_row(one.kind, one.thing.id, one.where, one.thing.job_key, price, one.reason or "stays")
    return table
