"""The costs flow: what was spent, from the ledger of spending, as a table and a picture in the UI."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Failed
from pydantic import Field

from spotwave.blocks.snapshots import StoreUnavailable
from spotwave.flows.loop.parameter_docs import described
from spotwave.tasks.cost.ledger import Entry, read
from spotwave.tasks.cost.report import By, Cost, by, draw_costs, figure, rows
from spotwave.tasks.load_blocks import NoSuchBlock

__all__ = ["By", "Cost", "Entry", "by", "costs", "figure", "read", "rows"]


@flow(name="costs")
@described
def costs(
    by: Annotated[By, Field(description="What to sum by: 'month', 'project' or 'cloud'.")] = "month",
    store: Annotated[str, Field(description="The snapshot store that holds the ledger.")] = "snapshot-store/here",
) -> list[dict[str, Any]] | State[Any]:
    """Show what all jobs have cost, as a table and a picture among the run's artifacts."""
    try:
        return draw_costs(store, by)
    except (NoSuchBlock, StoreUnavailable) as error:
        get_run_logger().error(str(error))
        return Failed(message=str(error))
