"""What the steps pass to one another: the job, the choice of an offer, the attempts. No secrets in any of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from blocks.cloud import Machine, Offer, Requirements
from node.contract import Outcome

Objective = Literal["cost", "price"]  #: rank by expected USD to finish, or by USD/h alone


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Job(_Record):
    """One calculation to be carried through any number of machines."""

    key: str
    flow_run_id: UUID
    node: str  #: deployment of the node flow, e.g. "shci-node/machine"
    parameters: dict[str, Any]  #: what the node flow is given beside job key and attempt
    requirements: Requirements
    clouds: list[str]  #: Cloud block documents, e.g. "local-cloud/here"
    remote: str  #: RcloneRemote block document
    access: str  #: PrefectAccess block document
    store: str  #: SnapshotStore block document: prices, and what earlier jobs measured
    objective: Objective = "cost"
    work_core_h: float | None = None  #: of a reference core; None: learned, else cost is told per core-hour
    results_gib: float = 0.1  #: for the expected cost of bringing them home
    builds: bool = False  #: the program is built on the machine
    sync_s: float = 300.0
    silence_s: float = 120.0  #: a lease unchanged for so long, on a running machine, is given up
    max_hours: float = 24.0  #: for all attempts together, seconds of the first start counted
    max_attempts: int = 5
    results: Path  #: the controller's folder for this job's results


class Ranked(_Record):
    """An eligible offer with every term of its expected cost to finish (tasks.money.with_cost)."""

    offer: Offer
    speed: float  #: of one physical core, relative to the reference core
    measured_speed: bool  #: whether our own runs say so
    rate: float  #: interruptions per hour
    waste: float  #: share of the machine's time lost to interruptions, checkpoints and boots
    hours: float  #: expected hours to finish, waste included
    machine_usd: float
    disk_usd: float
    ip_usd: float
    egress_usd: float
    expected_usd: float  #: to finish the job: the four together
    cooling: str | None = None  #: why it is ranked last: its pool was lost or refused lately


class Rejected(_Record):
    """Offers that one requirement excluded."""

    reason: str
    count: int
    example: str


class Near(_Record):
    """An offer that misses the requirements by little, and by which."""

    offer: Offer
    why_not: str  #: the first requirement that excludes it
    misses: int  #: how many do


class Choice(_Record):
    """The ranking, best first, and what was left out. `ranked` may be empty: then `remedy` says why."""

    objective: Objective = "cost"
    ranked: list[Ranked]  #: the best of them
    seen: int  #: how many offers there were
    eligible: int  #: how many of them met the requirements
    work_core_h: float  #: the work that hours and USD are told for
    rejected: list[Rejected]
    nearest: list[Near] = []  #: where nothing is eligible
    remedy: str | None = None


class Refusal(_Record):
    """An offer that a cloud would not launch."""

    offer: Offer
    kind: str
    reason: str


class Placed(_Record):
    """The machine of an attempt, and what was tried before it."""

    machine: Machine
    refusals: list[Refusal]


class Attempt(_Record):
    """One machine's go at the job, from launch to end."""

    number: int
    machine: Machine
    node_run_id: UUID | None
    refusals: list[Refusal]
    why: str  #: why this offer
    outcome: Outcome
    ended_at: datetime

    @property
    def hours(self) -> float:
        return (self.ended_at - self.machine.launched_at).total_seconds() / 3600

    @property
    def usd(self) -> float:
        return self.hours * self.machine.offer.spot_usd_h
