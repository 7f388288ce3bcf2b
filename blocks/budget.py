"""What a project may cost, and from what quote on a person must say yes."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field


class Budget(Block):
    """
    Limits on what jobs may cost: each month, each project, and the quote from which on a job waits for approval.

    Every launch is checked against the spending ledger in the job's snapshot store, where running jobs are counted
    with what they may still cost. An empty field is no limit.

    Example:
        100 USD a month for all projects together, 500 USD for each project, and a question above 20 USD:
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
        description="The project that the limits are for; its month is then that project's alone, and jobs of another "
        "are refused. Empty: for every project, the month of all of them together.",
    )
    usd_per_month: float | None = Field(
        None, ge=0, title="USD per month", description="In a calendar month (UTC), by the time of launch; empty: any."
    )
    usd_per_project: float | None = Field(
        None, ge=0, title="USD per project", description="Of the job's project, from its first job on; empty: any."
    )
    approve_above_usd: float | None = Field(
        None,
        ge=0,
        title="Approval above (USD)",
        description="A job whose quote (P90; where the work is unknown, the most it may cost) is above this waits "
        "until somebody approves it. Empty: none does.",
    )
    approval_hours: float = Field(
        24.0, gt=0, le=720, title="Wait for approval (h)", description="Then the job ends as Failed; hours."
    )

    @property
    def limits(self) -> bool:
        """Whether spending is limited at all."""
        return self.usd_per_month is not None or self.usd_per_project is not None
