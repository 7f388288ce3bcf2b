"""The money of one job, from its quote to its receipt: plain code inside the story's flow, over steps that are kept."""

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
    """What the job was quoted, may spend and has spent."""

    def __init__(self, job: Job, first: Choice, quote: Quote, inherited: Continuation, first_round: int = 1) -> None:
        self._job = job
        self.first = first  #: the choice that was quoted, for the first attempt
        self.first_round = first_round  #: its round (flows.loop.placement_rounds)
        self.quote = quote
        self.before_usd = inherited.spent_usd  #: by the job that this one continues
        self.attempts: list[Attempt] = []  #: those that are over, oldest first
        self.allowance: Allowance | None = None  #: of the attempt that runs
        self.approved_usd: float | None = None  #: the cap that somebody agreed to; counts `before_usd` too, as max_usd
        # What an earlier engine of this run has written is more than this one knows as yet.
        self._account = billing_record.read(job.key) or BillingRecord(job=job, quote=quote, before_usd=self.before_usd)

    @property
    def spent_usd(self) -> float:
        return sum(attempt.usd for attempt in self.attempts)

    def approve(self) -> None:
        """Have the quote approved, where it must be: from then on that is a cap. Raises JobFailed, or Pause where an
        answer is awaited."""
        most_usd = approved(self._job, self.quote, self.first_round)
        self.approved_usd = None if most_usd is None else self.before_usd + most_usd

    def requoted(self, choice: Choice, round_: int, quote: Quote) -> None:
        """No machine was had for what was quoted, and this is the newer choice."""
        self.first, self.first_round, self.quote = choice, round_, quote
        self._account = self._account.model_copy(update={"quote": quote})

    def allow(self, job: Job, number: int, choice: Choice, deadline: float, round_: int = 1) -> Allowance:
        """What the next attempt may cost, reserved. Raises JobFailed where that is too little to launch anything.

        job: with what its next machine must have.
        """
        spent = self.before_usd + self.spent_usd
        self.allowance = reserve(job, number, choice, deadline, spent, self.quote, self.approved_usd, round_)
        if self.allowance.refused is not None:
            on = self.how_to_go_on() if self.attempts else ""
            raise JobFailed(f"{self.allowance.refused} {self.rest()} {on}".strip())
        self._keep(self._account.reserving(number, self.allowance.at))
        return self.allowance

    def unused(self, number: int) -> None:
        """No machine was had: the reservation falls."""
        assert self.allowance is not None
        settle(self._job, number, None, None, self.allowance.at, self.quote)
        self._keep(self._account.without(number))

    def begun(self, placed: Placed, cloud: str, why: str) -> None:
        """An attempt has its machine, which bills. cloud: its Cloud document."""
        attempt = not_ended(placed.machine).model_copy(update={"refusals": placed.refusals, "why": why})
        known = {one.attempt.machine.id for one in self._account.machines}
        if placed.machine.id not in known:  # else a restarted run comes by here again
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
        """An attempt has ended: what its machine has cost takes the place of what it might have."""
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
        """A machine that was launched just when the job ended, and had not become an attempt."""
        if self.allowance is not None and all(attempt.machine.id != machine.id for attempt in self.attempts):
            self.over(Placed(machine=machine, refusals=[]), cloud, gone)

    def close(self) -> None:
        """The receipt, however the job ends; one that cannot be written must not hide how it ended.

        What is open then is settled by `reconcile` (flows.housekeeping.settle_bills).
        """
        try:
            if self.attempts:
                receipt(self._job, self.attempts, self.quote, self.before_usd)
            if not self._account.open:
                billing_record.close(self._job.key)
        except OSError as error:
            get_run_logger().error("the receipt could not be written: %s", error)

    def limit_that_ended(self, attempt: Attempt, deadline: float) -> str | None:
        """The limit in words, if a machine that came to its time did so for the sake of money."""
        stopped = attempt.machine.deadline
        if self.allowance is None or self.allowance.usd is None:
            return None
        if attempt.outcome.limit is not Limit.NONE:
            return f"{self.allowance.said}, and its machine costs more by the hour than when it was launched"
        return self.allowance.said if stopped is not None and stopped < int(deadline) - 1 else None

    def _enter(self, attempt: Attempt, cloud: str, gone: datetime | None) -> None:
        assert self.allowance is not None
        went = MachineBill(attempt=attempt, cloud=cloud, reserved_at=self.allowance.at, gone=gone)
        self._keep(self._account.having(went))

    def _keep(self, changed: BillingRecord) -> None:
        """On the disk too: an account that cannot be kept there must not end a job."""
        self._account = changed
        try:
            billing_record.keep(changed)
        except OSError as error:
            get_run_logger().error("the account of this job could not be kept: %s", error)

    def rest(self, percent: float = 0.0) -> str:
        """What the rest of the job would cost, as far as anybody knows. percent: of the work, done."""
        spent = self.before_usd + self.spent_usd
        if not self.quote.known:
            return f"Spent: {spent:.4g} USD. What the rest would cost is not known, since the work is not."
        if 0 < percent < 100:
            half, most = (usd * (1 - percent / 100) for usd in (self.quote.usd_p50, self.quote.usd_p90))
        else:
            half, most = (max(0.0, usd - spent) for usd in (self.quote.usd_p50, self.quote.usd_p90))
        return f"Spent: {spent:.4g} USD; the rest would cost about {half:.4g} USD (P90 {most:.4g})."

    def how_to_go_on(self) -> str:
        spent = self.before_usd + self.spent_usd
        again = f"To go on from the checkpoint: run it again with continue_job={self._job.key}"
        match self.allowance.limit if self.allowance is not None else Limit.NONE:
            case Limit.APPROVED:
                return f"{again}; what more it may cost is asked then."
            case Limit.MAX_USD:
                return f"{again} and max_usd above {spent:.4g}."
            case _:
                return f"{again} and more allowed in the Budget block."
