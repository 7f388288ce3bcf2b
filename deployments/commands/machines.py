"""`ls`, `check`, `reap`: the commands for Spotwave's machines and other resources in the clouds."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts

from spotwave.deployments.commands.terminal import errors, own_home, print_line, wide


def ls() -> None:
    """List Spotwave's machines on all configured clouds: job, attempt, state, age, cost per hour and cost so far."""
    from prefect.client.orchestration import get_client

    from spotwave.deployments.existing_api import existing_api
    from spotwave.deployments.machines import Found, Unreachable, as_table, find_all, total

    home = own_home()
    with existing_api(home).in_use(home), get_client(sync_client=True) as client:
        answers = list(find_all(client))
    found = [one for one in answers if isinstance(one, Found)]
    if found:
        wide().print(as_table(found))
        print_line(total(found))
    else:
        print_line("no machines")
    unreachable = [one for one in answers if isinstance(one, Unreachable)]
    for one in unreachable:
        print_line(f"{one.block} could not be queried: {one.reason}")
    if unreachable:
        sys.exit(1)


def check(*block: str) -> None:
    """Check that every saved cloud, remote and access to Prefect is ready to run a job.

    Parameters
    ----------
    block
        Check only these blocks, such as aws-cloud/mine.
    """
    from prefect.client.orchestration import get_client

    from spotwave.deployments.check import findings, row, server_findings, table
    from spotwave.deployments.existing_api import existing_api

    home, listing, missing = own_home(), table(), 0
    api = existing_api(home)
    with api.in_use(home), get_client(sync_client=True) as client, errors.status("checking") as status:
        for document, finding in [*([] if block else server_findings(api)), *findings(client, list(block))]:
            status.update(f"{document}: {finding.what}")
            listing.add_row(*row(document, finding))
            missing += finding.ok is False
    wide().print(listing)
    if missing:
        print_line(f"failed checks: {missing}")
        sys.exit(1)


def reap(*, dry_run: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """Remove machines, disks, addresses and secrets whose job has ended or whose deadline has passed.

    This also runs on a schedule; the command does it now.

    Parameters
    ----------
    dry_run
        Only list all resources, and which of them would be removed.
    """
    from spotwave.deployments.existing_api import existing_api
    from spotwave.deployments.reap import as_table
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
    print_line(f"{len(seen.forgotten)} of {len(seen.things)} would be removed")
    for name, why in seen.silent.items():
        print_line(f"{name} could not be queried: {why}")
    if seen.silent:
        sys.exit(1)
