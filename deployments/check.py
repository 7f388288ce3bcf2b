"""What `spotwave check` looks at: every saved block that a job could name, asked for all that a launch needs."""

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
_ASK_S = 10.0
_ASKED = (*(slug for slug, _, _ in WINGS.values()), "rclone-remote", "prefect-access")


def findings(client: SyncPrefectClient, only: list[str]) -> Iterator[tuple[str, Finding]]:
    """(document, finding) for every saved cloud, remote and access, or for those named in `only`.

    Raises ValueError for a name that no such document has.
    """
    documents = list(_documents(client))
    if unknown := [name for name in only if name not in documents]:
        raise ValueError(f"check: there is no block '{unknown[0]}'; there are {', '.join(documents)}")
    for document in documents:
        if not only or document in only:
            for finding in _of(document):
                yield document, finding


def server_findings(api: Api) -> Iterator[tuple[str, Finding]]:
    """Whether the Prefect API that is used asks for a password: with none, whoever reaches it reads every block's
    secrets and starts runs."""
    try:
        # No settings of ours: what somebody sees who knows the address alone.
        told = httpx.post(f"{api.url}/work_pools/filter", json={}, timeout=_ASK_S, trust_env=not api.embedded)
    except httpx.HTTPError as error:
        yield "Prefect API", Finding("password", None, f"{api.url} could not be asked: {type(error).__name__}")
        return
    if told.is_success:
        yield (
            "Prefect API",
            Finding(
                "password",
                None,
                f"{api.url} asks for none: whoever reaches it reads the secrets of all blocks and starts programs. "
                "Start it with PREFECT_SERVER_API_AUTH_STRING, and give clients PREFECT_API_AUTH_STRING",
            ),
        )
    else:
        yield "Prefect API", Finding("password", True, f"{api.url} asks for one")


def row(document: str, finding: Finding) -> tuple[str, str, str, str]:
    return _SIGNS[finding.ok], document, escape(finding.what), escape(finding.said)


def table() -> Table:
    found = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "block", "what", ""):
        found.add_column(title, overflow="fold")
    return found


def _documents(client: SyncPrefectClient) -> Iterator[str]:
    for slug in _ASKED:
        yield from sorted(f"{slug}/{name}" for name in names_of(client, slug))


def _of(document: str) -> Iterator[Finding]:
    slug, _, name = document.partition("/")
    kind = block_type(slug)
    assert kind is not None  # it is one of `_ASKED`
    try:
        block: Block = load(kind, name)
    except Unusable as error:
        yield Finding("the block", False, str(error))
        return
    if isinstance(block, Cloud):
        if not block.has_account:
            yield Finding("account", None, "none: its prices are read, and no machine can be rented")
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
        return Finding("writable", True, "a folder on this computer: for machines of the local cloud alone")
    return Finding("writable", True, f"{remote.path} was written, read back and deleted")


def _access(access: PrefectAccess) -> Finding:
    what = "Prefect API"
    if access.detached:
        return Finding(what, True, "not needed: machines report through the remote")
    if (problem := access.problem(here=True) or access.reached()) is not None:
        return Finding(what, False, problem)
    if (problem := access.problem(here=False)) is not None:
        return Finding(what, True, f"for machines of the local cloud alone: {problem}")
    return Finding(what, True, "answers at the address that machines in a cloud are given")
