"""Which job runs the controller takes next: reads the due ones and asks `flows.queue.admission.admit`.

A run that is not admitted becomes `Queued`: Scheduled under another name, with its time kept. It costs no process, and
no request until something happens that could let it in: a job has ended, the limits or the pool have changed, or a
minute has passed. Prefect's own question for due runs would return queued ones at every poll, and no others once there
are 200.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType, WorkPool, WorkQueue
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Abort, ObjectNotFound
from prefect.states import Pending
from prefect.utilities.engine import propose_state

from spotwave.flows.queue.admission import (
    LIMITS_FILE,
    QUEUED,
    Claim,
    InvalidLimits,
    Limits,
    admit,
    claim_of,
    read_limits,
)
from spotwave.node.contract import JOBS_QUEUE

PAGE = 200  # runs in one answer of the API
CLOCK_S = 60.0  # a queued run is asked again after this time, if nothing has happened
_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


class Gate:
    """The gate of one pool's queue of jobs."""

    def __init__(self, pool: str, home: Path, logger: Any = None) -> None:
        self._pool, self._home = pool, home
        self._logger = logger or logging.getLogger(__name__)
        self._limits, self._read = Limits(), -1.0
        self._settings: object = None
        self._queued = 0  #: runs that were queued when they were last read
        self._message = ""
        self._asked = float("-inf")
        self._changed = True

    def changed(self) -> None:
        """Note that something has happened that could let a run in, such as the end of a job."""
        self._changed = True

    async def next(
        self, client: PrefectClient, pool: WorkPool, queue: WorkQueue, before: datetime, taken: Collection[UUID]
    ) -> list[FlowRun]:
        """Return the runs that may start now, in order, and queue those that may not.

        queue: the pool's queue of jobs. before: a run is due if it was to start before. taken: runs that are being
        started, which are still due.
        """
        if pool.is_paused or queue.is_paused:
            return []
        most = min((one for one in (pool.concurrency_limit, queue.concurrency_limit) if one is not None), default=None)
        self._reread(most)
        found = await self._runs(client, _scheduled(before, queued=False))
        due = [run for run in found if run.id not in taken]
        if self._queued and not self._changed and time.monotonic() - self._asked < CLOCK_S:
            for run in due:  # behind those that wait already
                if not run.run_count:
                    await self._queue(client, run, self._message)
            return [run for run in due if run.run_count]
        if not due and not self._queued and not self._changed:
            return []
        self._changed, self._asked = False, time.monotonic()
        queued = await self._runs(client, _scheduled(before, queued=True))
        running = await self._runs(client, _filter(FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK))))
        running += [run for run in found if run.id in taken]
        waiting = {run.id: run for run in [*due, *queued]}
        admission = admit(map(_claim, waiting.values()), map(_claim, running), self._limits, most)
        self._queued = len(admission.queued)
        for run_id, message in admission.queued.items():
            self._message = message
            if waiting[run_id].state_name != QUEUED:
                await self._queue(client, waiting[run_id], message)
        return [waiting[run_id] for run_id in admission.admitted]

    def _reread(self, most: int | None) -> None:
        """Read the limits again if their file has changed. An invalid file changes nothing."""
        try:
            written = (self._home / LIMITS_FILE).stat().st_mtime
        except OSError:
            written = 0.0
        if written != self._read:
            self._read = written
            try:
                self._limits = read_limits(self._home)
            except InvalidLimits as error:
                self._logger.error("%s; the limits of before stay in force", error)
            self._changed = True
        if most != self._settings:
            self._settings, self._changed = most, True

    async def _runs(self, client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
        found: list[FlowRun] = []
        while True:
            page = await client.read_flow_runs(
                flow_run_filter=wanted,
                work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
                work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=[JOBS_QUEUE])),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=PAGE,
                offset=len(found),
            )
            found += page
            if len(page) < PAGE:
                return found

    async def _queue(self, client: PrefectClient, run: FlowRun, message: str) -> None:
        """Set a due run to Queued, by way of Pending, which the server refuses for a run that was cancelled."""
        assert run.state is not None
        at = run.state.state_details.scheduled_time or run.next_scheduled_start_time
        queued: State[Any] = State(
            type=StateType.SCHEDULED, name=QUEUED, message=message, state_details=StateDetails(scheduled_time=at)
        )
        try:
            taken: State[Any] = await propose_state(client, Pending(), flow_run_id=run.id)
            if taken.is_pending():
                await propose_state(client, queued, flow_run_id=run.id)
        except (Abort, ObjectNotFound) as other:
            self._logger.info("run %s was not queued: %s", run.id, other)


def _scheduled(before: datetime, *, queued: bool) -> FlowRunFilter:
    name = FlowRunFilterStateName(any_=[QUEUED]) if queued else FlowRunFilterStateName(not_any_=[QUEUED])
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]), name=name)
    return _filter(state, before)


def _filter(state: FlowRunFilterState, before: datetime | None = None) -> FlowRunFilter:
    due = None if before is None else FlowRunFilterNextScheduledStartTime(before_=before)
    return FlowRunFilter(state=state, next_scheduled_start_time=due)


def _claim(run: FlowRun) -> Claim:
    since = run.expected_start_time or run.created or datetime.now(UTC)
    return claim_of(run.id, since, run.parameters, begun=bool(run.run_count))
