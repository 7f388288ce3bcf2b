"""Registration of blocks and deployments in the API; skipped if nothing has changed since the last time."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient

import spotwave
from spotwave.deployments.api import Api
from spotwave.deployments.deployed import our_deployments
from spotwave.deployments.earlier_version import remove_deployments
from spotwave.deployments.home import Home
from spotwave.node.contract import write_text

_SOURCES = ("flows", "blocks", "node", "deployments")  # not tasks: deployments and blocks do not depend on their code


def ensure_registered(home: Home, api: Api, client: SyncPrefectClient) -> bool:
    """Register blocks and deployments if the API does not have them yet; return whether it was necessary.

    Raises Unavailable if Prefect rejects a deployment.
    """
    stamp = home.run / "registered.json"
    digest = _digest(api)
    if _is_current(stamp, digest, client):
        return False
    stamp.unlink(missing_ok=True)
    # One after the other: two parallel writers save two seconds but may wait a minute, SQLite's busy timeout.
    _register_blocks(home, client)
    _deploy(client)
    remove_deployments(client)
    write_text(stamp, json.dumps({"digest": digest, "deployments": sorted(_deployments(client))}))
    return True


def _digest(api: Api) -> str:
    """Return a hash that changes whenever the result of a registration could change."""
    hasher = sha256(f"{api.url} {version('prefect')}".encode())
    package = Path(spotwave.__file__).parent
    sources = [path for folder in _SOURCES for path in sorted((package / folder).resolve().rglob("*.py"))]
    for path in [package / "deployments" / "prefect.yaml", *sources]:
        hasher.update(str(path).encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def _is_current(stamp: Path, digest: str, client: SyncPrefectClient) -> bool:
    try:
        noted = json.loads(stamp.read_text())
    except (FileNotFoundError, ValueError):
        return False
    if noted.get("digest") != digest:
        return False
    # The database may have been replaced, or a deployment deleted, since the stamp was written.
    return bool(noted["deployments"]) and set(noted["deployments"]) <= _deployments(client)


def _deployments(client: SyncPrefectClient) -> set[str]:
    """Return the ids of our deployments that have a pool; one whose pool was deleted must be registered again."""
    return {str(deployment.id) for deployment in our_deployments(client) if deployment.work_pool_name}


def _deploy(client: SyncPrefectClient) -> None:
    # Imported here: it imports every story.
    from spotwave.deployments.deploy import deploy_all
    from spotwave.deployments.story_deployments import all_deployments

    deploy_all(client, all_deployments())


def _register_blocks(home: Home, client: SyncPrefectClient) -> None:
    # Imported here: the three clouds' SDKs are slow to import and not needed if nothing has changed.
    from spotwave.blocks.registry import register_all
    from spotwave.deployments.defaults import create_default_blocks

    register_all()
    create_default_blocks(home, client)
