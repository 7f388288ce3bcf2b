"""Waiting for capacity: pauses between placement rounds, and what the run shows meanwhile.

The job waits inside its process and checks its run every few seconds. So a cancel or a stop takes effect at once,
nothing is reserved or rented while it waits, and an engine that takes the job over continues in the same round.
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
from spotwave.tasks.batch import sleep_to_tick
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
LONGEST_PAUSE_S = 600.0  # how long prices count as fresh (tasks.market.fetch_prices.FRESH_S)
GROWTH = 1.5  # factor between pauses: the longest is reached after about twenty minutes
LOOK_S = 5.0  # interval of the checks of the run itself
TICK_S = 1.0  # jobs check at the same moments, so that they share the request (tasks.batch)
LEAST_RUN_S = 240.0  # least time for a machine to boot and do any work before the job's deadline
ENV_LONGEST_PAUSE = "SPOTWAVE_LONGEST_PAUSE_S"  # shortens all pauses; docs/machines.md


class Held(Exception):
    """The job was suspended while it had no machine."""

    def __init__(self, at: float) -> None:
        super().__init__(at)
        self.at = at  #: Unix seconds


class Rounds:
    """The placement rounds of one job, in one engine."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shown: str | None = None
        #: Whether an earlier start of this run has requested its first machine, without success so far. If this engine
        #: ends before it has `chosen` again, resources that clouds hold for the job must be removed.
        self.walked: bool = read_round(api.client(), job.flow_run_id, 1).walked
        self.chosen = False
        #: Which start of the run this engine is. The Running states that it sets itself count on the server, too.
        self.run_count: int = flow_run.run_count

    def resume(self, attempt: int, *, for_choice: bool = False) -> Round:
        """Return the current round of the attempt, once its time has come.

        for_choice: only the quote is needed, which precedes the first attempt. Raises Held, Ended, Superseded.
        """
        turn = read_round(api.client(), self._job.flow_run_id, attempt)
        if turn.held_at is not None:
            if for_choice:
                return turn
            raise Held(turn.held_at)
        if turn.until > time.time():
            get_run_logger().info("attempt %d continues to wait for round %d", attempt, turn.number)
            self._show(WAITING, turn.shown)
            self._sleep(attempt, turn, for_choice)
        return turn

    def next(self, attempt: int, turn: Round, missed: Unplaced, deadline: float | None = None) -> Round:
        """Wait and return the next round, after one without a machine.

        deadline: Unix seconds at which the job's time limit ends; None before the job has started. Raises JobFailed if
        waiting would not help or has reached its limit; Held, Ended, Superseded.
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
            shown=f"{missed.reason}: {missed.said}. {HELPS[missed.reason]} Spotwave retries until {until}.",
        )
        keep_round(api.client(), self._job.flow_run_id, attempt, later)
        self._show(WAITING, later.shown)
        get_run_logger().info("round %d starts in %.0f s", later.number, later.until - now)
        self._sleep(attempt, later, deadline is None)
        return later

    def found(self, attempt: int, turn: Round) -> Round:
        """Record that there is an offer to quote. If the job waited only for that, a later wait starts from zero."""
        self.chosen = True
        if not turn.pauses or turn.walked:
            return turn
        fresh = Round(number=turn.number)
        keep_round(api.client(), self._job.flow_run_id, attempt, fresh)
        self.over()
        return fresh

    def over(self) -> None:
        """Show that the job no longer waits."""
        if self._shown is not None:
            self._show("Running", "")
            self._shown = None

    def _end(self, since: float, deadline: float | None) -> tuple[float, str]:
        """Return the end of the wait (Unix seconds), and the limit that sets it with the remedy."""
        longest = since + 3600 * self._job.max_hours if deadline is None else deadline - LEAST_RUN_S
        if self._job.wait_hours is not None and since + 3600 * self._job.wait_hours < longest:
            return since + 3600 * self._job.wait_hours, f"wait_hours: {self._job.wait_hours:g} h are over; allow more"
        return longest, f"max_hours: {self._job.max_hours:g} h have almost passed; allow more"

    def _show(self, name: str, message: str) -> None:
        if message == self._shown:
            return
        self._shown = message
        try:
            self.run_count += show_running(api.client(), self._job.flow_run_id, name, message)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            get_run_logger().warning("the run's state could not be set to %s: %s", name, error)

    def _sleep(self, attempt: int, turn: Round, for_choice: bool) -> None:
        """Sleep until the round starts; a cancel or stop interrupts it by signal. Raises Held, Ended, Superseded."""
        while (left := turn.until - time.time()) > 0:
            # Neither markets nor clouds notify of new capacity.
            if left < LOOK_S:
                time.sleep(left)
            else:
                sleep_to_tick(LOOK_S - TICK_S, TICK_S)
            try:
                is_active = still_active(api.client(), self._job.flow_run_id, self.run_count)
            except (httpx.HTTPError, PrefectHTTPStatusError) as error:
                get_run_logger().debug("no answer from the API while the job waits: %s", error)
                continue
            if not is_active:
                held = Held(time.time())
                if not for_choice:  # the attempt number counts as used, as after a suspension with a machine
                    keep_round(
                        api.client(), self._job.flow_run_id, attempt, turn.model_copy(update={"held_at": held.at})
                    )
                raise held


def pause_s(number: int) -> float:
    """Return the length of pause `number` (from 0) in seconds; it grows with each pause."""
    longest = float(os.environ.get(ENV_LONGEST_PAUSE, LONGEST_PAUSE_S))
    return min(FIRST_PAUSE_S * GROWTH ** min(number, 20), longest)
