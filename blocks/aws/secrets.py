"""Job secret in Secrets Manager: one secret per job with a version per attempt; the machine reads it with its role."""

from __future__ import annotations

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.aws.setup import secret_name, tag_list
from spotwave.blocks.errors import Closed, LaunchRefused, Misconfigured, Throttled
from spotwave.blocks.models import LaunchBrief
from spotwave.blocks.tags import DEADLINE, JOB, tags_of

_SERVICE = "secretsmanager"
_DELETING_S = 10.0


def write_secret(clients: Clients, brief: LaunchBrief) -> str:
    """Write this attempt's version and return the secret's name. Safe to repeat. Raises a LaunchRefused."""
    name = secret_name(brief.brief.job_key)
    text = brief.secret_text()
    try:
        create_secret(clients, name, text, {JOB: brief.brief.job_key, DEADLINE: tags_of(brief)[DEADLINE]})
    except LaunchRefused as refused:
        match code_behind(refused):
            case "ResourceExistsException":
                clients.call(_SERVICE, clients.home, "put_secret_value", SecretId=name, SecretString=text)
            case "InvalidRequestException":
                # The name of a deleted secret stays in use for a moment.
                raise Throttled(f"{refused.reason}; its old secret is still being deleted", _DELETING_S) from refused
            case _ if isinstance(refused, Closed):
                # Denied in the region that holds the secrets of all offers, not in the offer's region.
                raise Misconfigured(f"{refused.reason}, or set a region in the AWS Credentials block") from refused
            case _:
                raise
    return name


def create_secret(clients: Clients, name: str, text: str, tags: dict[str, str]) -> None:
    clients.call(_SERVICE, clients.home, "create_secret", Name=name, SecretString=text, Tags=tag_list(tags))


def delete_secret(clients: Clients, region: str, name: str) -> None:
    """Delete it immediately, without recovery; safe to repeat. Raises a LaunchRefused."""
    try:
        clients.call(_SERVICE, region, "delete_secret", SecretId=name, ForceDeleteWithoutRecovery=True)
    except LaunchRefused as refused:
        if code_behind(refused) != "ResourceNotFoundException":
            raise
