"""How far a job has come, as its machine last said."""

from __future__ import annotations

from prefect.logging import get_run_logger

from spotwave.node.contract import HEARTBEAT_FILE, Lease, attempt_dir
from spotwave.node.storage.remote import RemoteError
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Job


def percent_done(job: Job, attempt: int) -> float:
    """Of the work, by the attempt's last heartbeat on the remote; 0 where there is none."""
    try:
        with load_remote(job.remote).job(job.key) as remote:
            told = remote.read(f"{attempt_dir(attempt)}/{HEARTBEAT_FILE}")
        return Lease.from_json(told).progress.percent if told else 0.0
    except (RemoteError, ValueError) as error:
        get_run_logger().warning("how far the job has come is not known: %s", error)
        return 0.0
