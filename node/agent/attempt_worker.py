"""A machine's Prefect worker, for the one run of its attempt: `python -m spotwave.node.agent.attempt_worker NAME`.

It does what `prefect worker start --type process --limit 1` does with that work queue, without what a machine does not
need: the command imports all of Prefect's collections, and for each run it starts an interpreter that only looks for
the flow's code, which is installed here.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING

from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from spotwave.node.contract import MACHINES_POOL

if TYPE_CHECKING:
    import anyio.abc
    from prefect.client.schemas.objects import FlowRun, WorkerMetadata


class AttemptWorker(ProcessWorker):
    """Prefect's process worker, which starts the run's engine directly."""

    @classmethod
    def __dispatch_key__(cls) -> str:
        """Return the key in Prefect's registry of worker types; that of the parent class is taken."""
        return "spotwave-attempt"

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        # As if the pool named this command; without one, Prefect looks for the flow's code first.
        configuration.command = shlex.join([sys.executable, "-m", "prefect.engine"])
        configuration._command_configured = True
        return await super().run(flow_run, configuration, task_status)

    async def _worker_metadata(self) -> WorkerMetadata | None:
        """Return nothing: the versions of the collections would be imported for it."""
        return None


def main() -> None:
    name = sys.argv[1]
    worker = AttemptWorker(MACHINES_POOL, work_queues=[name], name=name, limit=1, create_pool_if_not_found=False)
    asyncio.run(worker.start())


if __name__ == "__main__":
    main()
