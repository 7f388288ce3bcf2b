"""Records that the steps exchange: the job, the choice of an offer, the attempts. They contain no secrets."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from spotwave.blocks.models import Machine, Offer, Requirements
from spotwave.blocks.refusal_scope import Scope
from spotwave.node.contract import Ending, Limit, Outcome

#: USD, seconds, sizes. Validated, since a NaN would spread to every sum, and a negative amount would free a budget.
Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Objective = Literal["cost", "price"]  #: rank by expected USD to finish, or by USD/h alone
Reason = Literal["NoOffer", "CloudQuota"]  #: why a job waits: no capacity at its price anywhere; quotas of the account


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Job(_Record):
    """One calculation, on any number of machines."""

    key: str
    flow_run_id: UUID
    node: str  #: deployment of the node flow, e.g. "shci-node/machine"
    parameters: dict[str, Any]  #: parameters of the node flow, in addition to job key and attempt
    work: str = (
        ""  #: key of jobs that take equally long (tasks.market.learned.work_key); empty: derived from the parameters
    )
    requirements: Requirements
    clouds: list[str]  #: Cloud block documents, e.g. "local-cloud/here"
    remote: str  #: RcloneRemote block document
    access: str  #: PrefectAccess block document
    store: str  #: SnapshotStore block document: prices, and measurements of earlier jobs
    objective: Objective = "cost"
    work_core_h: float | None = None  #: of a reference core; None: learned, else costs are per core-hour
    results_gib: float = 0.1  #: for the expected cost of downloading them
    builds: bool = False  #: whether the program is built on the machine
    sync_s: float = 300.0
    silence_s: float = 120.0  #: a running machine whose lease is not renewed for this long is given up
    max_hours: float = 24.0  #: for all attempts together, from the first start
    max_attempts: int = 5
    wait_hours: float | None = None  #: limit of the wait for capacity; None: max_hours
    max_usd: float | None = None  #: for all attempts together, including those of the job that it continues
    project: str = "default"  #: the project that pays
    budget: str | None = None  #: Budget block document; None: no limits but the job's own
    continue_job: str | None = None  #: key of the earlier job whose checkpoint this one continues from
    approved: bool = False  #: whether the quote is approved in advance
    results: Path  #: the controller's folder for this job's results


class Ranked(_Record):
    """An eligible offer with every term of its expected cost to finish (tasks.market.expected_cost.with_cost)."""

    offer: Offer
    speed: float  #: of one physical core, relative to the reference core
    measured_speed: bool  #: whether earlier runs measured it
    rate: float  #: interruptions per hour
    waste: float  #: share of the machine's time lost to interruptions, checkpoints and boots
    hours: float  #: expected hours to finish, waste included
    machine_usd: float
    disk_usd: float
    ip_usd: float
    egress_usd: float
    expected_usd: float  #: cost to finish the job: sum of the four
    cooling: str | None = None  #: why it is ranked last: its pool was recently lost or refused


class Rejected(_Record):
    """Offers that one requirement excluded."""

    reason: str
    count: int
    example: str


class Near(_Record):
    """An offer that narrowly misses the requirements, and which one it misses."""

    offer: Offer
    why_not: str  #: the first requirement that excludes it
    misses: int  #: number of requirements that exclude it
    over_quota: bool = False  #: it meets the requirements, but exceeds a quota of the account


class Choice(_Record):
    """The ranking, best first, and what was excluded. If `ranked` is empty, `remedy` says why."""

    objective: Objective = "cost"
    ranked: list[Ranked]  #: the best eligible offers
    seen: int  #: number of offers
    eligible: int  #: number of offers that met the requirements
    work_core_h: float  #: the work that hours and USD are for
    rejected: list[Rejected]
    nearest: list[Near] = []  #: the nearest offers, if none is eligible
    remedy: str | None = None
    may_change: Reason | None = None  #: if none is eligible: what may change; None: only the requirements


class Refusal(_Record):
    """An offer that a cloud refused to launch."""

    offer: Offer
    kind: str  #: "capacity", "quota", "closed", ...; "limit": it would cost more than allowed
    reason: str
    scope: Scope | None = None  #: other offers that it applies to; None: only this pool
    lasting: bool = False  #: waiting does not help


class Placed(_Record):
    """The machine of an attempt, and what was tried before it."""

    machine: Machine
    refusals: list[Refusal]


class Unplaced(_Record):
    """A round without a machine: nothing was eligible, or every offer of the ranking was refused."""

    refusals: list[Refusal] = []
    reason: Reason | None  #: what the job may wait for; None: waiting does not help
    said: str  #: one line for the user

    @property
    def unsure(self) -> bool:
        """Whether a refused launch may have created a machine, which must be searched for before the next launch."""
        return any(refusal.kind in ("throttled", "lost", "unclear") for refusal in self.refusals)


class Quote(_Record):
    """The expected cost of the job on an offer, calculated before anything is launched (tasks.cost.quote)."""

    offer: str  #: its label
    usd_h: float  #: machine, disk and address
    work: Literal["given", "learned", "unknown"]  #: unknown: all figures are those of one core-hour
    work_core_h: float  #: of a reference core
    runs: int = 0  #: number of runs that the work was learned from
    spread: float  #: one standard deviation of the work as a factor
    hours_p50: float
    hours_p90: float
    usd_p50: float
    usd_p90: float
    on_demand_usd_p50: float | None = None  #: on-demand cost of the work without interruptions
    most_usd: float  #: maximum by the job's limits: max_hours at this price, or the rest of max_usd
    max_hours: float

    @property
    def known(self) -> bool:
        return self.work != "unknown"

    @property
    def line(self) -> str:
        """The quote in one line, for log, artifact and approval."""
        half = f"P50 {self.usd_p50:.4g} USD in {self.hours_p50:.3g} h"
        figures = f"{half}, P90 {self.usd_p90:.4g} USD in {self.hours_p90:.3g} h"
        if not self.known:
            return (
                f"work unknown: per core-hour {figures}, on {self.offer}; in all at most {self.most_usd:.4g} USD "
                f"in {self.max_hours:g} h"
            )
        runs = f"{self.runs} run" if self.runs == 1 else f"{self.runs} runs"
        source = f"learned from {runs}" if self.work == "learned" else "as given"
        work = f"{self.work_core_h:.3g} core-hours {source}, within a factor of {self.spread:.2f}"
        return f"{figures}, on {self.offer} ({work})"


class Question(_Record):
    """What a user is asked before anything is launched (tasks.cost.approval_question)."""

    line: str  #: the limit that the quote exceeds
    form: str  #: further text of the form
    most_usd: Amount  #: "at most" in the form: once approved, the cap for all attempts together
    hours: float  #: time limit for the answer


class Cap(NamedTuple):
    """What one limit leaves for an attempt. Of several caps, the smallest applies."""

    usd: float
    limit: Limit
    said: str  #: one sentence for the user


class Allowance(_Record):
    """What an attempt may cost, fixed before its launch: the machine stops itself in time."""

    usd: float | None = None  #: None: there is no limit
    limit: Limit = Limit.NONE  #: the limit that applies
    said: str = ""  #: the limit in one sentence for the user
    reserved_usd: float | None = None  #: amount in the ledger; more expensive offers are left to a later round
    at: float  #: Unix seconds from which it counts
    refused: str | None = None  #: why nothing may be launched; a line for the user


class Bill(_Record):
    """The cost of one machine, as its cloud bills it (tasks.cost.receipt)."""

    ended_at: datetime  #: end of the billed time
    seconds: Amount  #: from launch to end
    billed_s: Amount  #: including the cloud's minimum
    machine_usd: Amount
    disk_usd: Amount
    ip_usd: Amount
    egress_usd: Amount
    on_demand_usd: Amount | None  #: the machine's seconds at that price, with the same disk, address and egress
    sent_gib: Amount
    prices: list[tuple[datetime, Amount]]  #: (from when, USD/h) of the machine itself
    assumed: bool = False  #: the cloud reported no price: the price at launch is used
    end_told: bool = False  #: the cloud reported the end; else it is when Spotwave found the machine gone
    unsettled: bool = False  #: the cloud has not reported yet; asked again later (flows.housekeeping.settle_bills)

    @property
    def usd(self) -> float:
        return self.machine_usd + self.disk_usd + self.ip_usd + self.egress_usd


class Attempt(_Record):
    """One machine's run of the job, from launch to end."""

    number: int
    machine: Machine
    node_run_id: UUID | None
    refusals: list[Refusal]
    why: str  #: why this offer was chosen
    outcome: Outcome
    ended_at: datetime
    bill: Bill | None = None  #: None: the cloud has not been asked

    @property
    def counts(self) -> bool:
        """Whether it counts as a loss (unless completed): not if its host was stopped, or the job suspended."""
        return self.outcome.ending not in (Ending.HOST_DOWN, Ending.SUSPENDED)

    @property
    def hours(self) -> float:
        return (self.ended_at - self.machine.launched_at).total_seconds() / 3600

    @property
    def usd(self) -> float:
        return self.bill.usd if self.bill is not None else self.hours * self.machine.usd_h
