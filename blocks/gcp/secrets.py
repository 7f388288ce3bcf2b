"""A job's secret in Secret Manager: one secret per job, a version for each attempt's content."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import Conflict, NotFound

from blocks.cloud import LaunchBrief
from blocks.gcp.clients import Clients
from blocks.tags import JOB

_KEPT = timedelta(days=1)  # after the deadline, when nobody has deleted it: it deletes itself


def name_of(job_key: str) -> str:
    return f"spotwave-{job_key}"


def write(clients: Clients, brief: LaunchBrief, patience_s: float) -> None:
    """Make the newest version of the job's secret what this attempt is given. Raises FAILURES.

    Never read, so that the launcher needs no right to read any secret: a repeated launch writes the same once more.
    """
    job_key = brief.brief.job_key
    name = f"projects/{clients.project}/secrets/{name_of(job_key)}"
    request = {"parent": name, "payload": {"data": brief.secret_text().encode()}}
    try:
        clients.secrets.add_secret_version(request=request, **Clients.call(patience_s))
    except NotFound:
        expiry = datetime.fromtimestamp(brief.brief.deadline, UTC) + _KEPT
        create(clients, name_of(job_key), job_key, expiry, patience_s)
        clients.secrets.add_secret_version(request=request, **Clients.call(patience_s))


def create(clients: Clients, name: str, job_key: str, expiry: datetime, patience_s: float) -> None:
    """An empty one, unless it is there. Raises FAILURES."""
    secret = {"replication": {"automatic": {}}, "labels": {JOB: job_key}, "expire_time": expiry}
    request = {"parent": f"projects/{clients.project}", "secret_id": name, "secret": secret}
    try:
        clients.secrets.create_secret(request=request, **Clients.call(patience_s))
    except Conflict:
        return  # by an earlier attempt, or by a call whose answer was lost


def ours(clients: Clients, job_key: str | None, patience_s: float) -> Iterator[Any]:
    """Every secret of this job, or of all. Raises FAILURES."""
    listed = clients.secrets.list_secrets(
        request={
            "parent": f"projects/{clients.project}",
            "filter": f"labels.{JOB}={job_key}" if job_key else f"labels.{JOB}:*",
        },
        **Clients.call(patience_s),
    )
    for secret in listed:
        if (its_job := secret.labels.get(JOB)) and job_key in (None, its_job):
            yield secret


def delete(clients: Clients, name: str, patience_s: float) -> None:
    """With all its versions; safe to repeat. Raises FAILURES."""
    try:
        clients.secrets.delete_secret(
            request={"name": f"projects/{clients.project}/secrets/{name}"}, **Clients.call(patience_s)
        )
    except NotFound:
        return
