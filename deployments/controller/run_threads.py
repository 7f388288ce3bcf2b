"""The threads that execute flow runs: one per run, each with its own context and the process's one API client."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import traceback
from collections.abc import Callable
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import SyncClientContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Cancelled

from spotwave.deployments.controller.engine import execute
from spotwave.flows.loop.run_lock import executing
from spotwave.node.contract import job_key_of

OK, FAILED = 0, 1  #: status codes of a run, as a process would exit


class RunThreads:
    """Executes runs in threads of this process. Use it in one event loop."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._logger = logger
        self._context = contextvars.copy_context()
        self._context.run(lambda: SyncClientContext().__enter__())  # open until the process ends: shared by all runs

    async def execute(self, run: FlowRun, entrypoint: str, started: Callable[[], None]) -> int:
        """Execute the run in a new thread; return its status code. `started` is called once the thread has the run.

        The thread is a daemon: like a killed process, it must not terminate its machine when the controller ends.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        begun: asyncio.Future[None] = loop.create_future()

        def body() -> None:
            status = FAILED
            try:
                with executing(job_key_of(run.id)):
                    loop.call_soon_threadsafe(_settle, begun, None)
                    status = self._execute(run.id, entrypoint)
            finally:
                loop.call_soon_threadsafe(_settle, begun, None)
                loop.call_soon_threadsafe(_settle, ended, status)

        context = self._context.copy()
        threading.Thread(target=context.run, args=(body,), name=job_key_of(run.id), daemon=True).start()
        await begun
        started()
        return await ended

    def _execute(self, run_id: UUID, entrypoint: str) -> int:
        """Return the status code. Whatever a run raises is logged here, and ends no other run."""
        client = get_client(sync_client=True)
        try:
            execute(load_flow_from_entrypoint(entrypoint), client.read_flow_run(run_id))
            _end_if_cancelling(client, run_id)
        except ObjectNotFound:
            return OK  # the run was deleted
        except BaseException:  # noqa: BLE001 - e.g. SystemExit of a library: reported as a crash of this run only
            self._logger.error("flow run %s: its thread has ended\n%s", run_id, traceback.format_exc())
            return FAILED
        return OK


def _settle(future: asyncio.Future[int] | asyncio.Future[None], value: int | None) -> None:
    if not future.done():
        future.set_result(value)  # type: ignore[arg-type]


def _end_if_cancelling(client: SyncPrefectClient, run_id: UUID) -> None:
    """Set a run that is being cancelled to Cancelled: it may have been cancelled before its flow function began."""
    try:
        run = client.read_flow_run(run_id)
        if run.state_type is StateType.CANCELLING:
            client.set_flow_run_state(run_id, Cancelled(message="cancelled before it started"), force=True)
    except (httpx.HTTPError, PrefectHTTPStatusError):
        return  # `reconcile` ends it
