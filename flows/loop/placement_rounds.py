"""A job for which no cloud has room waits in its place: pauses between rounds, and what its run shows meanwhile.

It waits while its process lives, at the cost of one look at the run every few seconds: so a cancel or a stop ends it at
once, nothing is reserved or rented, and whoever takes the job over waits on at the same round.
"""

from __future__ import annotations

import os
import time

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from spotwave.flows.loop.errors import JobFailed
from spotwave.tasks import api
from spotwave.tasks.machine.no_machine import HELPS
from spotwave.tasks.machine.placement_rounds import (
    WAITING,
    Round,
    keep_round,
    read_round,
    show_running,
)
from spotwave.tasks.records import Job, Unplaced
from spotwave.tasks.run_status import still_active

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0  # as long as prices are taken for fresh (tasks.market.fetch_prices.FRESH_S)
GROWTH = 1.5  # of each pause to the next: the longest comes after some twenty minutes
LOOK_S = 5.0  # how often the run itself is looked at meanwhile
LEAST_RUN_S = 240.0  # what a machine needs to boot and to do anything before the job's time is over
ENV_LONGEST_PAUSE = "SPOTWAVE_LONGEST_PAUSE_S"  # shortens all pauses; docs/machines.md


class Held(Exception):
    """Somebody has suspended the job while it had no machine."""

    def __init__(self, at: float) -> None:
        super().__init__(at)
        self.at = at  #: Unix seconds


class Rounds:
    """Of one job, in one engine."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shown: str | None = None
        #: Whether an earlier start of this run has asked clouds for its first machine, in vain so far: should it end
        #: before it has `chosen` anew, what they keep of the job must go.
        self.walked: bool = read_round(api.client(), job.flow_run_id, 1).walked
        self.chosen = False
        #: Which start of the run this engine is; what it sets itself is counted by the server, too.
        self.run_count: int = flow_run.run_count

    def resume(self, attempt: int, *, for_choice: bool = False) -> Round:
        """The round that the attempt has come to; returns when its time has come.

        for_choice: it is for the quote alone, which comes before the first attempt. Raises Held, Ended, Superseded.
        """
        turn = read_round(api.client(), self._job.flow_run_id, attempt)
        if turn.held_at is not None:
            if for_choice:
                return turn
            raise Held(turn.held_at)
        if turn.until > time.time():
            get_run_logger().info("attempt %d waits on for its round %d", attempt, turn.number)
            self._show(WAITING, turn.shown)
            self._sleep(attempt, turn, for_choice)
        return turn

    def next(self, attempt: int, turn: Round, missed: Unplaced, deadline: float | None = None) -> Round:
        """The round after one without a machine; returns when its time has come.

        deadline: Unix seconds at which the job's time is over; None: its time has not begun. Raises JobFailed where
        waiting would change nothing or has lasted long enough; Held, Ended, Superseded.
        """
        if missed.reason is None:
            raise JobFailed(f"{missed.said}.")
        now = time.time()
        since = turn.since if turn.pauses else now
        end, limit = self._end(since, deadline)
        if now >= end:
            if not turn.pauses:
                raise JobFailed(f"{missed.said}.")
            hours, rounds = (now - since) / 3600, turn.pauses + 1
            raise JobFailed(f"{limit}. It waited {hours:.3g} h, and in the last of {rounds} rounds: {missed.said}.")
        until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
        later = Round(
            number=turn.number + 1,
            pauses=turn.pauses + 1,
            since=since,
            until=min(now + pause_s(turn.pauses), end),
            walked=turn.walked or bool(missed.refusals),
            unsure=turn.unsure or missed.unsure,
            shown=f"{missed.reason}: {missed.said}. {HELPS[missed.reason]} Looked at again until {until}.",
        )
        keep_round(api.client(), self._job.flow_run_id, attempt, later)
        self._show(WAITING, later.shown)
        get_run_logger().info("round %d begins in %.0f s", later.number, later.until - now)
        self._sleep(attempt, later, deadline is None)
        return later

    def found(self, attempt: int, turn: Round) -> Round:
        """There is something to quote. After a wait for that alone the wait is over, and a later one counts anew."""
        self.chosen = True
        if not turn.pauses or turn.walked:
            return turn
        fresh = Round(number=turn.number)
        keep_round(api.client(), self._job.flow_run_id, attempt, fresh)
        self.over()
        return fresh

    def over(self) -> None:
        """The job waits no more."""
        if self._shown is not None:
            self._show("Running", "")
            self._shown = None

    def _end(self, since: float, deadline: float | None) -> tuple[float, str]:
        """(Unix seconds until which it may wait, by which limit and what to do)."""
        longest = since + 3600 * self._job.max_hours if deadline is None else deadline - LEAST_RUN_S
        if self._job.wait_hours is not None and since + 3600 * self._job.wait_hours < longest:
            return since + 3600 * self._job.wait_hours, f"wait_hours: {self._job.wait_hours:g} h are over; allow more"
        return longest, f"max_hours: {self._job.max_hours:g} h are as good as over; allow more"

    def _show(self, name: str, message: str) -> None:
        if message == self._shown:
            return
        self._shown = message
        try:
            self.run_count += show_running(api.client(), self._job.flow_run_id, name, message)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            get_run_logger().warning("the run does not show that it is %s: %s", name, error)

    def _sleep(self, attempt: int, turn: Round, for_choice: bool) -> None:
        """Until the round begins; a cancel and a stop interrupt it by their signal. Raises Held, Ended, Superseded."""
        while (left := turn.until - time.time()) > 0:
            time.sleep(min(LOOK_S, left))  # markets and clouds have no event for "there is room again"
            try:
                carried = still_active(api.client(), self._job.flow_run_id, self.run_count)
            except (httpx.HTTPError, PrefectHTTPStatusError) as error:
                get_run_logger().debug("no answer of the API while the job waits: %s", error)
                continue
            if not carried:
                held = Held(time.time())
                if not for_choice:  # the attempt's number is used up, as if it had been suspended with a machine
                    keep_round(
                        api.client(), self._job.flow_run_id, attempt, turn.model_copy(update={"held_at": held.at})
                    )
                raise held


def pause_s(number: int) -> float:
    """Seconds; growing with each, counted from 0."""
    longest = float(os.environ.get(ENV_LONGEST_PAUSE, LONGEST_PAUSE_S))
    return min(FIRST_PAUSE_S * GROWTH ** min(number, 20), longest)
