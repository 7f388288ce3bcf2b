"""What the steps pass to one another: the job, the choice of an offer, the attempts. No secrets in any of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from spotwave.blocks.models import Machine, Offer, Requirements
from spotwave.blocks.refusal_scope import Scope
from spotwave.node.contract import Ending, Limit, Outcome

#: USD, seconds, sizes: one figure that is none would make every sum with it one, and a negative one free a budget.
Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Objective = Literal["cost", "price"]  #: rank by expected USD to finish, or by USD/h alone
Reason = Literal["NoOffer", "CloudQuota"]  #: why a job waits: no room at its price anywhere; quotas of the account


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Job(_Record):
    """One calculation to be carried through any number of machines."""

    key: str
    flow_run_id: UUID
    node: str  #: deployment of the node flow, e.g. "shci-node/machine"
    parameters: dict[str, Any]  #: what the node flow is given beside job key and attempt
    work: str = (
        ""  #: which jobs take as long as this one (tasks.market.learned.work_key); empty: those of its parameters
    )
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
    wait_hours: float | None = None  #: for a machine, where no cloud has room; None: as long as max_hours lasts
    max_usd: float | None = None  #: for all attempts together, and for those of the job that it continues
    project: str = "default"  #: whose money it is
    budget: str | None = None  #: Budget block document; None: no limits but the job's own
    continue_job: str | None = None  #: the key of an earlier job, whose checkpoint this one goes on from
    approved: bool = False  #: the quote needs no approval, whatever it is
    results: Path  #: the controller's folder for this job's results


class Ranked(_Record):
    """An eligible offer with every term of its expected cost to finish (tasks.market.expected_cost.with_cost)."""

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
    over_quota: bool = False  #: it meets the requirements, and exceeds a quota of the account


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
    may_change: Reason | None = None  #: where nothing is eligible: what would have to change; None: the requirements


class Refusal(_Record):
    """An offer that a cloud would not launch."""

    offer: Offer
    kind: str  #: the refusal's word: "capacity", "quota", "closed", ...; "limit": it would cost more than is allowed
    reason: str
    scope: Scope | None = None  #: which other offers it speaks of; None: this pool alone
    lasting: bool = False  #: to wait does not help


class Placed(_Record):
    """The machine of an attempt, and what was tried before it."""

    machine: Machine
    refusals: list[Refusal]


class Unplaced(_Record):
    """A round without a machine: nothing was eligible, or every offer of the ranking was refused."""

    refusals: list[Refusal] = []
    reason: Reason | None  #: what the job may wait for; None: waiting would change nothing
    said: str  #: in one line, for the user

    @property
    def unsure(self) -> bool:
        """Whether a refused launch may have made a machine all the same, which must be looked for before the next."""
        return any(refusal.kind in ("throttled", "lost", "unclear") for refusal in self.refusals)


class Quote(_Record):
    """What the job is expected to cost on an offer, told before anything is launched (tasks.cost.quote)."""

    offer: str  #: its label
    usd_h: float  #: machine, disk and address
    work: Literal["given", "learned", "unknown"]  #: unknown: all figures are those of one core-hour
    work_core_h: float  #: of a reference core
    runs: int = 0  #: it was learned from so many
    spread: float  #: one standard deviation of the work as a factor
    hours_p50: float
    hours_p90: float
    usd_p50: float
    usd_p90: float
    on_demand_usd_p50: float | None = None  #: the same hours on demand, without an interruption
    most_usd: float  #: at the limits of the job: max_hours at this price, or what is left of max_usd
    max_hours: float

    @property
    def known(self) -> bool:
        return self.work != "unknown"

    @property
    def line(self) -> str:
        """In one line, for log, artifact and approval."""
        half = f"P50 {self.usd_p50:.4g} USD in {self.hours_p50:.3g} h"
        figures = f"{half}, P90 {self.usd_p90:.4g} USD in {self.hours_p90:.3g} h"
        if not self.known:
            return (
                f"work unknown: per core-hour {figures}, on {self.offer}; in all at most {self.most_usd:.4g} USD "
                f"in {self.max_hours:g} h"
            )
        runs = f"{self.runs} run" if self.runs == 1 else f"{self.runs} runs"
        whence = f"learned from {runs}" if self.work == "learned" else "as given"
        work = f"{self.work_core_h:.3g} core-hours {whence}, give or take x{self.spread:.2f}"
        return f"{figures}, on {self.offer} ({work})"


class Question(_Record):
    """What somebody is asked before anything is launched (tasks.cost.approval_question)."""

    line: str  #: which limit the quote is above
    form: str  #: what else the form shows
    most_usd: Amount  #: the figure that it calls "at most": once approved, all attempts together cost no more
    hours: float  #: so long is an answer awaited


class Cap(NamedTuple):
    """What one limit leaves for an attempt. Of several, the smallest holds."""

    usd: float
    limit: Limit
    said: str  #: in a sentence, for people


class Allowance(_Record):
    """What an attempt may cost, fixed before its launch: the machine stops itself in time."""

    usd: float | None = None  #: None: there is no limit
    limit: Limit = Limit.NONE  #: which limit that is
    said: str = ""  #: that limit in a sentence, for people
    reserved_usd: float | None = None  #: in the ledger: what is dearer until its end is for a later round
    at: float  #: Unix seconds since when it counts
    refused: str | None = None  #: why nothing may be launched; a line for the user


class Bill(_Record):
    """What one machine has cost, as its cloud counts (tasks.cost.receipt)."""

    ended_at: datetime  #: it billed until then
    seconds: Amount  #: from launch to end
    billed_s: Amount  #: at least the cloud's minimum
    machine_usd: Amount
    disk_usd: Amount
    ip_usd: Amount
    egress_usd: Amount
    on_demand_usd: Amount | None  #: the machine's seconds at that price, with the same disk, address and egress
    sent_gib: Amount
    prices: list[tuple[datetime, Amount]]  #: (from when, USD/h) of the machine itself
    assumed: bool = False  #: the cloud did not tell: at the price of the launch
    end_told: bool = False  #: by the cloud itself; else it is when we saw that the machine was gone
    unsettled: bool = False  #: the cloud has not told yet; asked again later (flows.housekeeping.settle_bills)

    @property
    def usd(self) -> float:
        return self.machine_usd + self.disk_usd + self.ip_usd + self.egress_usd


class Attempt(_Record):
    """One machine's go at the job, from launch to end."""

    number: int
    machine: Machine
    node_run_id: UUID | None
    refusals: list[Refusal]
    why: str  #: why this offer
    outcome: Outcome
    ended_at: datetime
    bill: Bill | None = None  #: None: nobody has asked the cloud

    @property
    def counts(self) -> bool:
        """As a loss, unless the job was completed: not where its computer was stopped with it, or the job suspended."""
        return self.outcome.ending not in (Ending.HOST_DOWN, Ending.SUSPENDED)

    @property
    def hours(self) -> float:
        return (self.ended_at - self.machine.launched_at).total_seconds() / 3600

    @property
    def usd(self) -> float:
        return self.bill.usd if self.bill is not None else self.hours * self.machine.usd_h
