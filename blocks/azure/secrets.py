"""Job secret in the Key Vault: written before a launch, read by the machine, deleted at the end of the job.

A vault keeps deleted secrets for days (soft delete): they cannot be read, but their names stay in use. A purge frees
the name at once; to write to the name of a deleted secret, it must first be recovered. The role Key Vault Secrets
Officer allows all three: delete, purge, recover; a vault with purge protection allows no purge.
Sources: Azure documentation, "Azure Key Vault soft-delete overview"; REST API, "Set Secret".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from spotwave.blocks.azure.clients import POLL_S, Clients
from spotwave.blocks.azure.refusals import refusal, status_of
from spotwave.blocks.errors import LaunchRefused, Misconfigured, Throttled
from spotwave.blocks.models import LaunchBrief, Leftover
from spotwave.blocks.tags import DEADLINE, JOB, deadline_in, tags_of

MAX_BYTES = 25_000  # of a secret's value (Key Vault documentation, "About secrets")
_SETTLE_S = 60.0
_ROLE = "give the launcher the role Key Vault Secrets Officer on the vault"
_NAMELESS = "no vault has this address; run az keyvault create, see docs/accounts/azure.md"


def secret_name(job_key: str) -> str:
    return f"spotwave-{job_key}"


class Vault:
    """Secrets of Spotwave in a Key Vault. Thread-safe."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def write(self, brief: LaunchBrief) -> None:
        """Write a new version of the job's secret: {file name: content} as JSON. Raises a LaunchRefused."""
        tags = tags_of(brief)
        self.put(tags[JOB], brief.secret_text(), {key: tags[key] for key in (JOB, DEADLINE)})

    def put(self, key: str, content: str, tags: dict[str, str]) -> None:
        """Write a secret under the name for that job key. Raises a LaunchRefused."""
        if (size := len(content.encode())) > MAX_BYTES:
            raise Misconfigured(
                f"secrets: they have {size} bytes, but a Key Vault allows {MAX_BYTES}; shorten rclone.conf"
            )
        name, secrets = secret_name(key), self._clients.secrets
        settings: dict[str, Any] = {"tags": tags, "content_type": "application/json"}
        with _asked("writing the secret"):
            try:
                secrets.set_secret(name, content, **settings)
            except ResourceExistsError:
                self._recover(name)
                secrets.set_secret(name, content, **settings)

    def delete(self, name: str) -> None:
        """Delete the secret and purge it if the vault allows it; safe to repeat. Raises a LaunchRefused."""
        secrets = self._clients.secrets
        with _asked("deleting the secret"):
            try:
                poller = secrets.begin_delete_secret(name, _polling_interval=POLL_S)
                poller.wait(_SETTLE_S)
            except ResourceNotFoundError:
                pass
            try:
                secrets.purge_deleted_secret(name)
            except ResourceNotFoundError:
                pass
            except HttpResponseError as error:
                # Without the permission, or with purge protection, it stays until the vault's retention ends,
                # unreadable and free of charge. 409: it is already being purged.
                if status_of(error) not in (400, 403, 409):
                    raise

    def ours(self, job_key: str | None) -> list[Leftover]:
        """Return every secret with Spotwave's tag that is not deleted. Raises a LaunchRefused."""
        with _asked("listing the secrets"):
            living = list(self._clients.secrets.list_properties_of_secrets())
        return [
            Leftover(
                cloud="azure",
                kind="secret",
                id=one.name or "",
                job_key=key,
                created_at=one.created_on,
                deadline=deadline_in(one.tags or {}),
            )
            for one in living
            if (key := (one.tags or {}).get(JOB)) and job_key in (None, key)
        ]

    def _recover(self, name: str) -> None:
        try:
            poller = self._clients.secrets.begin_recover_deleted_secret(name, _polling_interval=POLL_S)
            poller.wait(_SETTLE_S)
        except ResourceNotFoundError as error:
            raise Throttled(f"writing the secret failed: {name} is being purged", 10.0) from error


@contextmanager
def _asked(what: str) -> Iterator[None]:
    try:
        yield
    except AzureError as error:
        raise _refusal(error, what) from error


def _refusal(error: AzureError, what: str) -> LaunchRefused:
    if isinstance(error, ServiceRequestError):
        return Misconfigured(f"{what} failed: vault_url: {_NAMELESS}")
    if isinstance(error, ClientAuthenticationError) or status_of(error) == 403:
        return Misconfigured(f"{what} failed: {status_of(error) or 'no token'}; vault_url: {_ROLE}")
    if status_of(error) == 409:
        return Throttled(f"{what} failed: 409; the vault is still processing an earlier call", 10.0)
    if 400 <= status_of(error) < 429:
        return Misconfigured(f"{what} failed: {status_of(error)}; vault_url: check that it is a Key Vault's address")
    return refusal(error, what)
