"""`ls`, `check`, `reap`: what the clouds have of ours, and what a job needs there."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts

from spotwave.deployments.commands.terminal import errors, own_home, say, wide


def ls() -> None:
    """List our machines on all configured clouds: job, attempt, state, age, and what they cost now and so far."""
    from prefect.client.orchestration import get_client

    from spotwave.deployments.machines import Found, Silent, as_table, find_all, total
    from spotwave.deployments.up import existing_api

    home = own_home()
    with existing_api(home).in_use(home), get_client(sync_client=True) as client:
        answers = list(find_all(client))
    found = [one for one in answers if isinstance(one, Found)]
    if found:
        wide().print(as_table(found))
        say(total(found))
    else:
        say("no machines")
    silent = [one for one in answers if isinstance(one, Silent)]
    for one in silent:
        say(f"{one.block} could not be asked: {one.reason}")
    if silent:
        sys.exit(1)


def check(*block: str) -> None:
    """Tell what is missing before a job can run: of every saved cloud, remote and access to Prefect.

    Parameters
    ----------
    block
        Only these, as '<block type>/<document>'.
    """
    from prefect.client.orchestration import get_client

    from spotwave.deployments.check import findings, row, server_findings, table
    from spotwave.deployments.up import existing_api

    home, listing, missing = own_home(), table(), 0
    api = existing_api(home)
    with api.in_use(home), get_client(sync_client=True) as client, errors.status("looking") as status:
        for document, finding in [*([] if block else server_findings(api)), *findings(client, list(block))]:
            status.update(f"{document}: {finding.what}")
            listing.add_row(*row(document, finding))
            missing += finding.ok is False
    wide().print(listing)
    if missing:
        say(f"{missing} missing")
        sys.exit(1)


def reap(*, dry_run: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """Remove machines, disks, addresses and secrets whose job has ended or whose time is over, now rather than at the
    next schedule.

    Parameters
    ----------
    dry_run
        Only show what there is, and what of it would go.
    """
    from spotwave.deployments.reap import as_table
    from spotwave.deployments.up import existing_api
    from spotwave.flows.housekeeping.reap import reap as reap_flow
    from spotwave.flows.housekeeping.reap import survey

    home = own_home()
    with existing_api(home).in_use(home):
        if not dry_run:
            reap_flow()
            return
        seen = survey()
    if seen.things:
        wide().print(as_table(seen))
    say(f"{len(seen.forgotten)} of {len(seen.things)} would go")
    for name, why in seen.silent.items():
        say(f"{name} could not be asked: {why}")
    if seen.silent:
        sys.exit(1)
