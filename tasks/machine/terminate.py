"""Step: remove a machine and all that an attempt leaves behind, in this order.

1. Fence: delete the lease (and notify a detached machine), so that an agent that was only unreachable stops itself.
2. Terminate the machine: it is not billed from here on.
3. Settle the node run, with the last reports of a detached machine. Otherwise a run whose machine is gone would stay
   Running forever, and one whose results were lost with it would stay Completed.
4. Delete the attempt's work queue and worker record.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import ended


@task(
    name="terminate",
    retries=5,
    retry_delay_seconds=[1, 2, 5, 10, 30],
    persist_result=True,
    cache_policy=ONCE,
)
def terminate(
    job: Job, machine: Machine, cloud: str, lease_id: str, node_run_id: UUID | None, completed: bool
) -> datetime:
    """Terminate the machine; return when it was gone. Safe to repeat, and retried until all steps have succeeded.

    completed: whether its results are on the remote.
    """
    prefect, line = api.client(), channel_of(job, machine.attempt)
    line.fence(lease_id)
    load_cloud(cloud).terminate(machine)
    gone = api.now()
    if node_run_id is not None:
        line.settle(node_run_id)
        over = ended(prefect, job.flow_run_id)
        reason = "the job was ended" if over else f"machine {machine.id} was lost"
        api.settle_node_run(prefect, node_run_id, cancelled=over, reason=reason, completed=completed)
    api.remove_queue_and_worker(prefect, machine.name)
    get_run_logger().info("%s is terminated, and its resources are removed", machine.id)
    return gone
