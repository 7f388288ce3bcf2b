"""Spending limits of a project, and the quote above which a job needs approval."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field


class Budget(Block):
    """
    Limits on what jobs may cost: per month, per project, and the quote above which a job waits for approval.

    Every launch is checked against the spending ledger in the job's snapshot store. Running jobs are counted there
    with the most that they may still cost. An empty field means no limit.

    Example:
        100 USD a month for all projects together, 500 USD for each project, and approval above 20 USD:
        ```python
        from spotwave.blocks.budget import Budget

        Budget(usd_per_month=100, usd_per_project=500, approve_above_usd=20).save("here", overwrite=True)
        ```
    """

    _block_type_name = "Budget"
    _block_type_slug = "budget"

    project: str = Field(
        "",
        title="Project",
        description="The project that the limits apply to; the monthly limit then covers this project only, and jobs "
        "of other projects are refused. Empty: every project, with one monthly limit for all of them together.",
    )
    usd_per_month: float | None = Field(
        None,
        ge=0,
        title="USD per month",
        description="Per calendar month (UTC), by launch time; empty: no limit.",
    )
    usd_per_project: float | None = Field(
        None, ge=0, title="USD per project", description="Of the job's project, over its whole life; empty: no limit."
    )
    approve_above_usd: float | None = Field(
        None,
        ge=0,
        title="Approval above (USD)",
        description="A job whose quote (P90, or the most it may cost if the work is unknown) is above this waits "
        "until a person approves it. Empty: no approval is needed.",
    )
    approval_hours: float = Field(
        24.0, gt=0, le=720, title="Wait for approval (h)", description="After so many hours the job ends as Failed."
    )

    @property
    def limits(self) -> bool:
        """Whether the block limits spending at all."""
        return self.usd_per_month is not None or self.usd_per_project is not None
