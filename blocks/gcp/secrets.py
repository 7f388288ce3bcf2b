"""A job's secret in Secret Manager: one secret per job, a version for each attempt's content.

If a policy of the organization forbids automatic replication, each region that is tried has its own secret, with the
region in its name, since the locations of a secret cannot be changed (Secret Manager, "Choose a replication policy").
The machine gets the name of its secret in its settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound

from spotwave.blocks.errors import Closed, Misconfigured
from spotwave.blocks.gcp.clients import Clients
from spotwave.blocks.models import LaunchBrief
from spotwave.blocks.recent_answers import Recent
from spotwave.blocks.tags import JOB

_KEPT = timedelta(days=1)  # it expires this long after the deadline, if it was not deleted
LOCATIONS_POLICY = "constraints/gcp.resourceLocations"


class ForbiddenLocation(Exception):
    """A policy of the organization forbids a secret in the requested location."""


def name_of(job_key: str, region: str | None = None) -> str:
    return f"spotwave-{job_key}{f'-{region}' if region else ''}"


class Secrets:
    """Secrets of a project. locations: where to store them; empty: automatic replication, else the machine's region."""

    def __init__(self, clients: Clients, locations: Sequence[str], recent: Recent, patience_s: float) -> None:
        self._clients = clients
        self._locations = list(locations)
        self._recent = recent
        self._patience_s = patience_s

    def write(self, brief: LaunchBrief, region: str) -> str:
        """Write this attempt's content and return the name of the secret for a machine in this region.

        Raises FAILURES, or a LaunchRefused if a policy forbids the location.
        """
        if self._locations:
            try:
                return self._written(brief, None, self._locations)
            except ForbiddenLocation:
                raise Misconfigured(
                    f"gcp: secret_locations: {LOCATIONS_POLICY} of the organization forbids "
                    f"{', '.join(self._locations)}; choose locations that it allows, or none"
                ) from None
        if not self._recent.get(self._everywhere, lambda: False):
            try:
                return self._written(brief, None, [])
            except ForbiddenLocation:
                self._recent.put(self._everywhere, True)
        try:
            return self._written(brief, region, [region])
        except ForbiddenLocation:
            raise Closed(
                f"gcp {region}: {LOCATIONS_POLICY} of the organization forbids a secret there, and also everywhere"
            ) from None

    @property
    def _everywhere(self) -> tuple[str, str]:
        """Cache key for the fact that the policy forbids automatic replication."""
        return ("no secret everywhere", self._clients.project)

    def _written(self, brief: LaunchBrief, region: str | None, locations: Sequence[str]) -> str:
        name = name_of(brief.brief.job_key, region)
        key = ("secret", self._clients.project, name, brief.secret_digest)
        return self._recent.get(key, lambda: self._new_version(brief, name, locations))

    def _new_version(self, brief: LaunchBrief, name: str, locations: Sequence[str]) -> str:
        """Add a version. The launcher never reads secrets, so it needs no such permission, and may write one twice."""
        secrets, call = self._clients.secrets, Clients.call(self._patience_s)
        parent = f"projects/{self._clients.project}/secrets/{name}"
        request = {"parent": parent, "payload": {"data": brief.secret_text().encode()}}
        try:
            secrets.add_secret_version(request=request, **call)
        except NotFound:
            expiry = datetime.fromtimestamp(brief.brief.deadline, UTC) + _KEPT
            create(self._clients, name, brief.brief.job_key, expiry, locations, self._patience_s)
            secrets.add_secret_version(request=request, **call)
        return name


def create(
    clients: Clients, name: str, job_key: str, expiry: datetime, locations: Sequence[str], patience_s: float
) -> None:
    """Create an empty secret in these locations, or everywhere, if missing. Raises FAILURES, ForbiddenLocation."""
    replicas = [{"location": location} for location in locations]
    replication: dict[str, Any] = {"user_managed": {"replicas": replicas}} if locations else {"automatic": {}}
    secret = {"replication": replication, "labels": {JOB: job_key}, "expire_time": expiry}
    request = {"parent": f"projects/{clients.project}", "secret_id": name, "secret": secret}
    try:
        clients.secrets.create_secret(request=request, **Clients.call(patience_s))
    except Conflict:
        return  # created by an earlier attempt, or by a call with a lost answer
    except GoogleAPICallError as error:
        if _is_of_locations(error):
            raise ForbiddenLocation from error
        raise


def _is_of_locations(error: GoogleAPICallError) -> bool:
    """Whether it is a 400, FAILED_PRECONDITION, with the constraint as the type of a violation
    (google.rpc.PreconditionFailure; as reported in firebase/firebase-tools#6454)."""
    violations = [one for detail in error.details if isinstance(detail, dict) for one in detail.get("violations") or ()]
    return any(isinstance(one, dict) and one.get("type") == LOCATIONS_POLICY for one in violations)


def ours(clients: Clients, job_key: str | None, patience_s: float) -> Iterator[Any]:
    """Yield every secret of this job, or of all. Raises FAILURES."""
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
    """Delete a secret with all its versions; safe to repeat. Raises FAILURES."""
    try:
        clients.secrets.delete_secret(
            request={"name": f"projects/{clients.project}/secrets/{name}"}, **Clients.call(patience_s)
        )
    except NotFound:
        return
