"""A job's progress, as its machine last reported it."""

from __future__ import annotations

from prefect.logging import get_run_logger

from spotwave.node.contract import HEARTBEAT_FILE, Lease, attempt_dir
from spotwave.node.storage.remote import RemoteError
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Job


def percent_done(job: Job, attempt: int) -> float:
    """Return the share of the work that is done, from the attempt's last heartbeat on the remote; 0 if missing."""
    try:
        with load_remote(job.remote).job(job.key) as remote:
            content = remote.read(f"{attempt_dir(attempt)}/{HEARTBEAT_FILE}")
        return Lease.from_json(content).progress.percent if content else 0.0
    except (RemoteError, ValueError) as error:
        get_run_logger().warning("the job's progress is unknown: %s", error)
        return 0.0
