"""The checks of `spotwave check`: whether each saved block that a job can name has all that a launch needs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from rich.markup import escape
from rich.table import Table

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.load import Unusable, load, names_of
from spotwave.blocks.models import Finding
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.registry import WINGS, block_type
from spotwave.deployments.api import Api

_SIGNS = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]?[/]"}
_CALL_S = 10.0
_CHECKED = (*(slug for slug, _, _ in WINGS.values()), "rclone-remote", "prefect-access")


def findings(client: SyncPrefectClient, only: list[str]) -> Iterator[tuple[str, Finding]]:
    """Yield (document, finding) for every saved cloud, remote and access, or for those named in `only`.

    Raises ValueError if no document has a name in `only`.
    """
    documents = list(_documents(client))
    if unknown := [name for name in only if name not in documents]:
        raise ValueError(f"check: the block '{unknown[0]}' does not exist; choose from {', '.join(documents)}")
    for document in documents:
        if not only or document in only:
            for finding in _findings_of(document):
                yield document, finding


def server_findings(api: Api) -> Iterator[tuple[str, Finding]]:
    """Check that the Prefect API in use requires a password.

    Without one, anyone who can reach the API can read every block's secrets and start runs.
    """
    try:
        # Without the user's Prefect settings: this is what a client without credentials gets.
        response = httpx.post(f"{api.url}/work_pools/filter", json={}, timeout=_CALL_S, trust_env=not api.embedded)
    except httpx.HTTPError as error:
        yield "Prefect API", Finding("password", None, f"no answer from {api.url}: {type(error).__name__}")
        return
    if response.is_success:
        yield (
            "Prefect API",
            Finding(
                "password",
                None,
                f"{api.url} requires none: anyone who can reach it can read the secrets of all blocks and start "
                "programs. Set PREFECT_SERVER_API_AUTH_STRING for the server and PREFECT_API_AUTH_STRING for clients",
            ),
        )
    else:
        yield "Prefect API", Finding("password", True, f"{api.url} requires one")


def row(document: str, finding: Finding) -> tuple[str, str, str, str]:
    return _SIGNS[finding.ok], document, escape(finding.what), escape(finding.said)


def table() -> Table:
    found = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "block", "what", ""):
        found.add_column(title, overflow="fold")
    return found


def _documents(client: SyncPrefectClient) -> Iterator[str]:
    for slug in _CHECKED:
        yield from sorted(f"{slug}/{name}" for name in names_of(client, slug))


def _findings_of(document: str) -> Iterator[Finding]:
    slug, _, name = document.partition("/")
    kind = block_type(slug)
    assert kind is not None  # it is one of `_CHECKED`
    try:
        block: Block = load(kind, name)
    except Unusable as error:
        yield Finding("the block", False, str(error))
        return
    if isinstance(block, Cloud):
        if not block.has_account:
            yield Finding("account", None, "none: prices can be read, but no machine can be rented")
            return
        yield from block.check()
    elif isinstance(block, RcloneRemote):
        yield _remote(block)
    elif isinstance(block, PrefectAccess):
        yield _access(block)


def _remote(remote: RcloneRemote) -> Finding:
    try:
        remote.check_writable()
    except ValueError as error:
        return Finding("writable", False, str(error))
    if remote.is_folder:
        return Finding("writable", True, "a folder on this computer: only for machines of the local cloud")
    return Finding("writable", True, f"a test object in {remote.path} was written, read back and deleted")


def _access(access: PrefectAccess) -> Finding:
    what = "Prefect API"
    if access.detached:
        return Finding(what, True, "not needed: machines report through the remote")
    if (problem := access.problem(here=True) or access.reached()) is not None:
        return Finding(what, False, problem)
    if (problem := access.problem(here=False)) is not None:
        return Finding(what, True, f"only for machines of the local cloud: {problem}")
    return Finding(what, True, "answers at the address that machines in a cloud use")
