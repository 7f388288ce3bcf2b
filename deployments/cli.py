"""The console command `spotwave`. It only calls what is there; flows and deployments do the work."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import cyclopts
from rich.console import Console

from deployments.home import home_of

app = cyclopts.App(name="spotwave", help="Long calculations on the cheapest spot machines, as Prefect flows.")
console = Console()
errors = Console(stderr=True)


def _say(message: str) -> None:
    console.print(message, markup=False, highlight=False, soft_wrap=True)


@app.command
def up() -> None:
    """Start what a job needs: Prefect server (if none is configured), blocks, deployments, controller's worker."""
    from deployments.up import up as bring_up

    found = bring_up(home_of(), _say)
    _say(f"ready: {found.api.ui_url}")


@app.command
def down() -> None:
    """End everything of ours on this computer. Machines in clouds go on, and are named."""
    from deployments.down import down as take_down

    left = take_down(home_of(), _say)
    for machine in left.machines:
        _say(f"still running, and billed: {machine}")
    for process in left.processes:
        _say(f"could not be ended: process {process.pid}")
    if left.processes:
        sys.exit(1)


@app.command
def run(
    deployment: str,
    *,
    param: Annotated[list[str] | None, cyclopts.Parameter(name=["--param", "-p"], negative="")] = None,
) -> None:
    """Run a deployment, follow it in the terminal, and print what came out. Ctrl-C leaves the job running.

    Parameters
    ----------
    deployment
        "flow/deployment", e.g. shci/water-dimer.
    param
        key=value, the value as JSON or as plain text; may be repeated.
    """
    from deployments.job import run_job
    from deployments.up import up as bring_up

    home = home_of()
    parameters = parsed(param or [])
    found = bring_up(home, _say, reconcile=False)
    with found.api.in_use(home):
        sys.exit(run_job(home, found.api, deployment, parameters, console))


@app.command
def ls() -> None:
    """List our machines on all configured clouds: job, attempt, state, age, USD per hour."""
    from prefect.client.orchestration import get_client

    from deployments.machines import Found, Silent, as_table, find_all
    from deployments.up import existing_api

    home = home_of()
    with existing_api(home).in_use(home), get_client(sync_client=True) as client:
        answers = list(find_all(client))
    found = [one for one in answers if isinstance(one, Found)]
    console.print(as_table(found) if found else "no machines")
    silent = [one for one in answers if isinstance(one, Silent)]
    for one in silent:
        _say(f"{one.block} could not be asked: {one.reason}")
    if silent:
        sys.exit(1)


@app.command
def reap() -> None:
    """Terminate machines whose job has ended or whose time is over, now rather than at the next schedule."""
    from deployments.up import existing_api
    from flows.reap import reap as reap_flow

    home = home_of()
    with existing_api(home).in_use(home):
        reap_flow()


def parsed(pairs: list[str]) -> dict[str, Any]:
    """Parameters from "key=value" pairs, values as JSON or else as text. Raises ValueError for anything else."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"-p {pair}: write it as key=value")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    return parameters


def main() -> None:
    """Entry point: errors meant for the user are one line and exit code 1."""
    from deployments.api import Unavailable

    try:
        app()
    except (Unavailable, ValueError) as error:
        errors.print(f"spotwave: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
