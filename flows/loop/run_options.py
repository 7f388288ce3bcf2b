"""The options that all stories share: where a job may run, what it may cost, and for how long."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from spotwave.blocks.models import Requirements
from spotwave.tasks.records import Objective


class RunOptions(BaseModel):
    """The parameters that all stories share; they appear next to the story's own in the form and the API."""

    model_config = ConfigDict(frozen=True)

    requirements: Requirements = Field(Requirements(), description="Requirements of the machine.")
    clouds: list[str] = Field(
        ["local-cloud/here"],
        description="Cloud blocks to rent from, as '<block type>/<document>'; one per kind.",
    )
    remote: str = Field("rclone-remote/here", description="The rclone remote block that keeps checkpoints and results.")
    access: str = Field("prefect-access/here", description="The block that defines how machines reach the API.")
    store: str = Field("snapshot-store/here", description="The snapshot store: prices and earlier measurements.")
    objective: Objective = Field(
        "cost", description="'cost': lowest expected cost to finish; 'price': lowest price per hour."
    )
    work_core_h: float | None = Field(
        None,
        description="The work in core-hours, for the expected cost. Empty: learned from earlier runs of the same work.",
    )
    sync_minutes: float = Field(5.0, description="Interval of the uploads of checkpoints to the remote; minutes.")
    silence_minutes: float = Field(2.0, description="A machine without a heartbeat for this long is given up; minutes.")
    max_hours: float = Field(24.0, description="Time limit for all attempts together; hours of wall time.")
    max_attempts: int = Field(5, description="Number of machines that may be lost before the job gives up.")
    wait_hours: float | None = Field(
        None,
        description="How long the job waits for a machine while no cloud has capacity; hours. 0: it fails at once; "
        "empty: until max_hours.",
    )
    max_usd: float | None = Field(
        None, description="Cost limit in USD: the job is checkpointed and stopped before it costs more. Empty: none."
    )
    project: str = Field("default", description="Name of the project that pays, for limits and cost reports.")
    budget: str | None = Field(
        "budget/here", description="The Budget block: limits by month and project, approval. Empty: none."
    )
    continue_job: str | None = Field(
        None, description="Key (sw-...) of an earlier job of this calculation, to continue from its checkpoint."
    )
    approved: bool = Field(
        False, description="Launch without approval, whatever the quote is. Then only max_usd caps the cost."
    )
