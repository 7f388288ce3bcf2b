"""From market data to a running machine: choose, reserve, launch; retry after a pause while no cloud has capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect.exceptions import Pause
from prefect.runtime import flow_run

from spotwave.flows.loop.errors import JobFailed
from spotwave.flows.loop.job_billing import JobBilling
from spotwave.flows.loop.placement_rounds import Held, Rounds
from spotwave.flows.loop.suspension import keep_suspended
from spotwave.tasks import api
from spotwave.tasks.cost.quote import quote
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.machine.attempts import avoided
from spotwave.tasks.machine.no_machine import none_eligible
from spotwave.tasks.machine.placement_rounds import Round
from spotwave.tasks.machine.provision import NoMachine, open_lease, provision
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.fetch_prices import NoMarket, fetch_prices
from spotwave.tasks.market.learned import recall, remember_refusals
from spotwave.tasks.market.select import select
from spotwave.tasks.records import Allowance, Attempt, Choice, Job, Placed, Refusal, Unplaced
from spotwave.tasks.run_status import Ended


@dataclass(frozen=True)
class Launched:
    """An attempt whose machine was launched."""

    placed: Placed
    choice: Choice
    allowance: Allowance
    lease_id: str


def first_choice(job: Job, rounds: Rounds) -> tuple[Choice, float | None, Round]:
    """Return what the job is quoted for: the choice, the known work in core-hours, and the round. Launches nothing.

    Waits while only prices rule out every offer. Raises JobFailed for any other reason, Pause if the job was suspended
    meanwhile, Ended, Superseded.
    """
    try:
        turn = rounds.resume(1, for_choice=True)
        while True:
            looked = _look(job, 1, [], turn, [])
            if not isinstance(looked, Unplaced):
                return *looked, rounds.found(1, turn)
            turn = rounds.next(1, turn, looked)
    except Held as suspended:
        raise Pause(state=keep_suspended(api.client(), job.flow_run_id)) from suspended


def place(job: Job, number: int, billing: JobBilling, rounds: Rounds, deadline: float, kept: str) -> Launched | float:
    """Launch the attempt's machine once a cloud has one; or return when (Unix seconds) the job was suspended.

    kept: sentence that says where the results so far are stored, for the error message.
    Raises JobFailed, Ended, Superseded, and Pause if a raised quote needs approval.
    """
    try:
        return _place(job, number, billing, rounds, deadline, kept)
    except Held as suspended:
        return suspended.at


def _place(job: Job, number: int, billing: JobBilling, rounds: Rounds, deadline: float, kept: str) -> Launched:
    """Implement `place`; raises Held if the job is suspended."""
    turn = rounds.resume(number)
    refused: list[Refusal] = []
    while True:
        choice: Choice | None = billing.first
        missed: Unplaced | None = None
        if number > 1 or turn.number != billing.first_round:
            choice, missed = _chosen(job, number, billing, turn, refused)
        if choice is not None:
            allowance = billing.allow(job, number, choice, deadline, turn.number)
            lease_id = open_lease(job, number)
            try:
                unsure = turn.unsure or flow_run.run_count > 1
                placed = provision(
                    job, number, choice, lease_id, deadline, rounds.run_count, allowance, turn.number, unsure
                )
            except NoMachine as error:
                billing.unused(number)
                raise JobFailed(f"{error}. {kept}") from error
            except Ended:
                billing.unused(number)
                raise
            if placed is None:
                billing.unused(number)
                raise Held(allowance.at)
            if isinstance(placed, Placed):
                rounds.over()
                return Launched(placed, choice, allowance, lease_id)
            billing.unused(number)  # so that other jobs can use the money while this one waits
            remember_refusals(job, number, placed.refusals)
            missed, refused = placed, placed.refusals
        assert missed is not None
        try:
            turn = rounds.next(number, turn, missed, deadline)
        except JobFailed as error:
            raise JobFailed(f"{error} {kept}") from error


def _chosen(
    job: Job, number: int, billing: JobBilling, turn: Round, refused: list[Refusal]
) -> tuple[Choice, None] | tuple[None, Unplaced]:
    """Choose again. Until the job has had a machine it is also quoted again, since prices may have changed."""
    looked = _look(job, number, billing.attempts, turn, refused)
    if isinstance(looked, Unplaced):
        return None, looked
    choice, work_core_h = looked
    if number == 1:
        billing.requoted(choice, turn.number, quote(job, choice.ranked[0], work_core_h, billing.before_usd))
        billing.approve()
    return choice, None


def _look(
    job: Job, number: int, earlier: list[Attempt], turn: Round, refused: Sequence[Refusal]
) -> tuple[Choice, float | None] | Unplaced:
    """Fetch the market and rank it; pools that lost or refused a machine come last.

    Returns the choice and the work in core-hours of a reference core (None if unknown). Raises JobFailed if no market
    was ever read.
    """
    cooling = avoided(earlier, {cloud.kind for cloud in map(load_cloud, job.clouds) if cloud.has_market})
    speeds, learned_core_h, cooling_all = recall(job, number, turn.number)
    known_core_h = job.work_core_h or learned_core_h
    work = Work(
        core_h=known_core_h or 1.0,
        disk_gib=job.requirements.disk_gib,
        results_gib=job.results_gib,
    )
    try:
        market = fetch_prices(job.clouds, job.store)
    except NoMarket as error:
        if number == turn.number == 1:
            raise JobFailed(f"{error}. Look at the log, and run `spotwave check`.") from error
        return Unplaced(reason="NoOffer", said=str(error))
    choice = select(
        market,
        job.requirements,
        work,
        cooling_all | cooling,
        number,
        clouds=job.clouds,
        objective=job.objective,
        speeds=speeds,
        round_=turn.number,
        refused=refused,
    )
    return (choice, known_core_h) if choice.ranked else none_eligible(choice)
