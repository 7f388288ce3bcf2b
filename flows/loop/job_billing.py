"""The billing of one job, from its quote to its receipt: plain code inside the flow, on top of persisted tasks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine
from spotwave.flows.loop.approval import approved
from spotwave.flows.loop.errors import JobFailed
from spotwave.node.contract import Limit, Outcome
from spotwave.tasks.cost import billing_record
from spotwave.tasks.cost.billing_record import BEFORE_ITS_END, BillingRecord, MachineBill, not_ended
from spotwave.tasks.cost.receipt import bill, receipt
from spotwave.tasks.cost.reserve import reserve, settle
from spotwave.tasks.records import Allowance, Attempt, Choice, Job, Placed, Quote
from spotwave.tasks.results.continue_from import Continuation


class JobBilling:
    """What the job was quoted, what it may spend, and what it has spent."""

    def __init__(self, job: Job, first: Choice, quote: Quote, inherited: Continuation, first_round: int = 1) -> None:
        self._job = job
        self.first = first  #: the quoted choice, for the first attempt
        self.first_round = first_round  #: its round (flows.loop.placement_rounds)
        self.quote = quote
        self.before_usd = inherited.spent_usd  #: spent by the job that this one continues
        self.attempts: list[Attempt] = []  #: finished attempts, oldest first
        self.allowance: Allowance | None = None  #: of the current attempt
        self.approved_usd: float | None = None  #: the approved cap; like max_usd, it includes `before_usd`
        # A record written by an earlier engine of this run is more complete than an empty one.
        self._account = billing_record.read(job.key) or BillingRecord(job=job, quote=quote, before_usd=self.before_usd)

    @property
    def spent_usd(self) -> float:
        return sum(attempt.usd for attempt in self.attempts)

    def approve(self) -> None:
        """Have the quote approved if necessary; the approved cost is then a cap.

        Raises JobFailed, or Pause if the answer is still missing.
        """
        most_usd = approved(self._job, self.quote, self.first_round)
        self.approved_usd = None if most_usd is None else self.before_usd + most_usd

    def requoted(self, choice: Choice, round_: int, quote: Quote) -> None:
        """Replace the quote by a newer one, after no machine was available for the quoted choice."""
        self.first, self.first_round, self.quote = choice, round_, quote
        self._account = self._account.model_copy(update={"quote": quote})

    def allow(self, job: Job, number: int, choice: Choice, deadline: float, round_: int = 1) -> Allowance:
        """Reserve what the next attempt may cost. Raises JobFailed if that is too little to launch anything.

        job: with the requirements of its next machine.
        """
        spent = self.before_usd + self.spent_usd
        self.allowance = reserve(job, number, choice, deadline, spent, self.quote, self.approved_usd, round_)
        if self.allowance.refused is not None:
            on = self.how_to_go_on() if self.attempts else ""
            raise JobFailed(f"{self.allowance.refused} {self.rest()} {on}".strip())
        self._keep(self._account.reserving(number, self.allowance.at))
        return self.allowance

    def unused(self, number: int) -> None:
        """Withdraw the reservation of an attempt that got no machine."""
        assert self.allowance is not None
        settle(self._job, number, None, None, self.allowance.at, self.quote)
        self._keep(self._account.without(number))

    def begun(self, placed: Placed, cloud: str, why: str) -> None:
        """Record the attempt's machine, which is billed from now on. cloud: its Cloud document."""
        attempt = not_ended(placed.machine).model_copy(update={"refusals": placed.refusals, "why": why})
        known = {one.attempt.machine.id for one in self._account.machines}
        if placed.machine.id not in known:  # a restarted run gets here again
            self._enter(attempt, cloud, None)

    def over(
        self,
        placed: Placed,
        cloud: str,
        gone: datetime | None,
        outcome: Outcome | None = None,
        why: str = "",
        node_run_id: UUID | None = None,
    ) -> None:
        """Settle an ended attempt: the actual cost of its machine replaces the reservation."""
        assert self.allowance is not None
        machine = placed.machine
        paid = bill(self._job, machine, cloud, gone, outcome)
        settle(self._job, machine.attempt, placed, paid, self.allowance.at, self.quote)
        attempt = Attempt(
            number=machine.attempt,
            machine=machine,
            node_run_id=node_run_id,
            refusals=placed.refusals,
            why=why,
            outcome=outcome or BEFORE_ITS_END,
            ended_at=paid.ended_at,
            bill=paid,
        )
        self.attempts.append(attempt)
        self._enter(attempt, cloud, gone)

    def stray(self, machine: Machine, cloud: str, gone: datetime) -> None:
        """Settle a machine that was launched as the job ended and did not become an attempt."""
        if self.allowance is not None and all(attempt.machine.id != machine.id for attempt in self.attempts):
            self.over(Placed(machine=machine, refusals=[]), cloud, gone)

    def close(self) -> None:
        """Write the receipt, however the job ended. A failed write is only logged, so that it hides no outcome.

        Bills that are still open are settled by `reconcile` (flows.housekeeping.settle_bills).
        """
        try:
            if self.attempts:
                receipt(self._job, self.attempts, self.quote, self.before_usd)
            if not self._account.open:
                billing_record.close(self._job.key)
        except OSError as error:
            get_run_logger().error("the receipt could not be written: %s", error)

    def limit_that_ended(self, attempt: Attempt, deadline: float) -> str | None:
        """Return the message of the cost limit that stopped the machine; None if cost was not the reason."""
        stopped = attempt.machine.deadline
        if self.allowance is None or self.allowance.usd is None:
            return None
        if attempt.outcome.limit is not Limit.NONE:
            return f"{self.allowance.said}, and the hourly price of its machine has risen since the launch"
        return self.allowance.said if stopped is not None and stopped < int(deadline) - 1 else None

    def _enter(self, attempt: Attempt, cloud: str, gone: datetime | None) -> None:
        assert self.allowance is not None
        went = MachineBill(attempt=attempt, cloud=cloud, reserved_at=self.allowance.at, gone=gone)
        self._keep(self._account.having(went))

    def _keep(self, changed: BillingRecord) -> None:
        """Update the record in memory and on disk. A failed write is only logged, so that it does not end the job."""
        self._account = changed
        try:
            billing_record.keep(changed)
        except OSError as error:
            get_run_logger().error("the billing record of this job could not be written: %s", error)

    def rest(self, percent: float = 0.0) -> str:
        """Describe what was spent and what the rest would cost, if known. percent: share of the work that is done."""
        spent = self.before_usd + self.spent_usd
        if not self.quote.known:
            return f"Spent: {spent:.4g} USD. The cost of the rest is unknown, since the amount of work is."
        if 0 < percent < 100:
            half, most = (usd * (1 - percent / 100) for usd in (self.quote.usd_p50, self.quote.usd_p90))
        else:
            half, most = (max(0.0, usd - spent) for usd in (self.quote.usd_p50, self.quote.usd_p90))
        return f"Spent: {spent:.4g} USD; the rest would cost about {half:.4g} USD (P90 {most:.4g})."

    def how_to_go_on(self) -> str:
        spent = self.before_usd + self.spent_usd
        again = f"To continue from the checkpoint, run it again with continue_job={self._job.key}"
        match self.allowance.limit if self.allowance is not None else Limit.NONE:
            case Limit.APPROVED:
                return f"{again}; the further cost is then subject to approval."
            case Limit.MAX_USD:
                return f"{again} and max_usd above {spent:.4g}."
            case _:
                return f"{again} and a higher limit in the Budget block."
