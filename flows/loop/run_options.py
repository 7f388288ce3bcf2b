"""What every story lets its user choose: where a job may run, what it may cost, for how long; no story's own input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from spotwave.blocks.models import Requirements
from spotwave.tasks.records import Objective


class RunOptions(BaseModel):
    """The parameters that all stories share; each appears beside the story's own in the form and in the API."""

    model_config = ConfigDict(frozen=True)

    requirements: Requirements = Field(Requirements(), description="What the machine must have.")
    clouds: list[str] = Field(
        ["local-cloud/here"],
        description="Cloud blocks to rent from, as '<block type>/<document>'; one per kind.",
    )
    remote: str = Field("rclone-remote/here", description="The rclone remote block that keeps checkpoints and results.")
    access: str = Field("prefect-access/here", description="The block that says how a machine reaches the Prefect API.")
    store: str = Field("snapshot-store/here", description="The snapshot store: prices, and what earlier jobs measured.")
    objective: Objective = Field(
        "cost", description="'cost': least expected USD to finish; 'price': least USD per hour."
    )
    work_core_h: float | None = Field(
        None,
        description="The work in core-hours, for the expected cost. Empty: learned from earlier runs of it.",
    )
    sync_minutes: float = Field(5.0, description="Checkpoints go to the remote this often; minutes.")
    silence_minutes: float = Field(
        2.0, description="A machine without a sign of life for so long is given up; minutes."
    )
    max_hours: float = Field(24.0, description="For all attempts together; hours of wall time.")
    max_attempts: int = Field(5, description="How many machines may be lost before the job gives up.")
    wait_hours: float | None = Field(
        None,
        description="Where no cloud has room for it, the job waits for a machine up to so long; hours. 0: it fails "
        "at once; empty: as long as max_hours lasts.",
    )
    max_usd: float | None = Field(
        None, description="The job may cost no more: before that it is checkpointed and stopped. USD; empty: any."
    )
    project: str = Field("default", description="Whose money it is: a name, for limits and for the costs.")
    budget: str | None = Field(
        "budget/here", description="The Budget block: limits by month and project, approval. Empty: none."
    )
    continue_job: str | None = Field(
        None, description="Key (sw-...) of an earlier job of this calculation: go on from its checkpoint."
    )
    approved: bool = Field(
        False, description="Launch without asking, whatever the quote is: nothing then caps it but max_usd."
    )
