"""The outcome that an agent has left on the remote: its last file, written even if it could not reach the API."""

from __future__ import annotations

from prefect.logging import get_run_logger

from spotwave.node.contract import OUTCOME_FILE, Outcome, attempt_dir
from spotwave.node.storage.remote import RemoteError
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Job


def remote_outcome(job: Job, attempt: int) -> Outcome | None:
    """Return the outcome; None if it is missing or unreadable, which are treated alike."""
    log = get_run_logger()
    try:
        with load_remote(job.remote).job(job.key) as remote:
            content = remote.read(f"{attempt_dir(attempt)}/{OUTCOME_FILE}")
    except RemoteError as error:
        log.warning("the remote could not be read: %s", error)
        return None
    try:
        return Outcome.from_json(content) if content else None
    except ValueError as error:
        log.warning("its outcome on the remote cannot be read: %s", error)
        return None
