"""The worker of the controller's pool: it executes Spotwave's own flow runs in threads of its process.

A job mostly waits, and a process for it costs more than a hundred MiB and three seconds of CPU. A crash of this process
is a crash of all its runs, which `reconcile` starts again. Other runs in the pool, such as a user's own flow, and runs
with environment variables of their own get a process each, as from Prefect's process worker.

An entry point of the group `prefect.collections` names this module, so every Prefect worker and server imports it: it
imports little that Prefect's process worker does not.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio.abc
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from spotwave.blocks.home import ENV_RESULTS, ENV_RESULTS_HOST, environment_of, home
from spotwave.node.contract import JOBS_QUEUE

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, WorkerMetadata, WorkPool, WorkQueue

    from spotwave.deployments.controller.gate import Gate
    from spotwave.deployments.controller.run_threads import RunThreads

OWN_FLOWS = "spotwave.flows."
QUEUES_S = 10.0  # how soon a change of a queue's settings takes effect; the UI shows a queue as idle after a minute
# Read from the run by the flow itself (flows.loop.story_flow), so that they need no process.
READ_BY_FLOW = frozenset({ENV_RESULTS, ENV_RESULTS_HOST})


class ControllerWorker(ProcessWorker):
    """Prefect's process worker, except that Spotwave's own flows run in threads."""

    type = "spotwave"
    _description = "Executes Spotwave's jobs in threads of one process. Started by `spotwave up`."
    _display_name = "Spotwave"
    _documentation_url = ""
    _logo_url = ""

    _threads: RunThreads | None = None
    _gate: Gate | None = None
    _queues: Mapping[str, WorkQueue] = {}
    _queues_read = float("-inf")

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Execute the run in a thread, or else in a process; return when it has ended."""
        entrypoint = await self._own_entrypoint(flow_run, configuration)
        if entrypoint is None:
            return await super().run(flow_run, configuration, task_status)
        if self._threads is None:
            # Imported here, not by every Prefect worker.
            from spotwave.deployments.controller.run_threads import RunThreads

            self._threads = RunThreads(self._logger)
        identifier = f"{socket.gethostname()}:{os.getpid()}"
        status: Any = task_status or anyio.TASK_STATUS_IGNORED
        try:
            code = await self._threads.execute(flow_run, entrypoint, lambda: status.started(identifier))
        finally:
            if self._gate is not None:
                self._gate.changed()
        return ProcessWorkerResult(status_code=code, identifier=identifier)

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Return the runs to start now: jobs that the gate admits, and due runs of the pool's other queues."""
        if self._gate is None:
            from spotwave.deployments.controller.gate import Gate

            self._gate = Gate(self._work_pool_name, home(), self._logger)
        before = datetime.now(UTC) + timedelta(seconds=self._prefetch_seconds)
        pool, ask = self.work_pool, self.client.get_scheduled_flow_runs_for_work_pool
        try:
            if time.monotonic() - self._queues_read >= QUEUES_S:
                self._queues = {one.name: one for one in await self.client.read_work_queues(work_pool_name=pool.name)}
                # No run is due before 1970: asked for only so that the UI shows the queue as polled.
                await ask(pool.name, work_queue_names=[JOBS_QUEUE], scheduled_before=datetime(1970, 1, 1, tzinfo=UTC))
                self._queues_read = time.monotonic()
            others = [name for name in self._queues if name != JOBS_QUEUE]
            found = await ask(pool.name, work_queue_names=others, scheduled_before=before)
        except ObjectNotFound:
            return []
        if (queue := self._queues.get(JOBS_QUEUE)) is None:
            return found
        jobs = await self._gate.next(self.client, pool, queue, before, self._submitting_flow_run_ids)
        return [*found, *(_response(pool, run) for run in jobs)]

    async def _own_entrypoint(self, flow_run: FlowRun, configuration: ProcessJobConfiguration) -> str | None:
        """Return the entrypoint of a flow of Spotwave that needs no process of its own, else None."""
        if flow_run.deployment_id is None or configuration.working_dir is not None:
            return None
        deployment = await self.client.read_deployment(flow_run.deployment_id)
        pool = self.work_pool.base_job_template.get("variables", {}).get("properties", {}).get("env", {})
        environment = {
            **(pool.get("default") or {}),
            **environment_of(deployment.job_variables),
            **environment_of(flow_run.job_variables),
        }
        if environment.keys() - READ_BY_FLOW:
            return None
        entrypoint = deployment.entrypoint or ""
        return entrypoint if entrypoint.startswith(OWN_FLOWS) else None

    async def _worker_metadata(self) -> WorkerMetadata | None:
        """Return nothing: the versions of Prefect's collections, which would import every cloud's SDK."""
        return None


def _response(pool: WorkPool, run: FlowRun) -> WorkerFlowRunResponse:
    assert run.work_queue_id is not None
    return WorkerFlowRunResponse(work_pool_id=pool.id, work_queue_id=run.work_queue_id, flow_run=run)
