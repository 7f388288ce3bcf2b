"""The outcome that an agent has left on the remote: its last file, there even if the API was out of its reach."""

from __future__ import annotations

from prefect.logging import get_run_logger

from spotwave.node.contract import OUTCOME_FILE, Outcome, attempt_dir
from spotwave.node.storage.remote import RemoteError
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Job


def remote_outcome(job: Job, attempt: int) -> Outcome | None:
    """None where there is none, or none that can be read: then it counts as if it had said nothing."""
    log = get_run_logger()
    try:
        with load_remote(job.remote).job(job.key) as remote:
            told = remote.read(f"{attempt_dir(attempt)}/{OUTCOME_FILE}")
    except RemoteError as error:
        log.warning("the remote was not readable: %s", error)
        return None
    try:
        return Outcome.from_json(told) if told else None
    except ValueError as error:
        log.warning("its outcome on the remote cannot be read: %s", error)
        return None
