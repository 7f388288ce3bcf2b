"""What the steps pass to one another: the job, the choice of an offer, the attempts. No secrets in any of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from blocks.cloud import Machine, Offer, Requirements
from node.contract import Outcome


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
    work_core_h: float = 1.0  #: core-hours, for the expected cost; not known beforehand, so told per core-hour
    sync_s: float = 300.0
    silence_s: float = 120.0  #: a lease unchanged for so long, on a running machine, is given up
    max_hours: float = 24.0  #: for all attempts together, seconds of the first start counted
    max_attempts: int = 5
    results: Path  #: the controller's folder for this job's results


class Ranked(_Record):
    """An eligible offer with the terms of its expected cost."""

    offer: Offer
    hours: float  #: expected hours to finish, waste included
    waste: float  #: share of the machine's time lost to interruptions, checkpoints and boots
    expected_usd: float  #: to finish the job
    cooling: str | None = None  #: why it is ranked last: its pool was lost or refused lately


class Rejected(_Record):
    """Offers that one requirement excluded."""

    reason: str
    count: int
    example: str


class Choice(_Record):
    """The ranking, best first, and what was left out. `ranked` may be empty: then `remedy` says why."""

    ranked: list[Ranked]  #: the best of them
    eligible: int  #: how many there were
    work_core_h: float  #: the work that hours and USD are told for
    rejected: list[Rejected]
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
