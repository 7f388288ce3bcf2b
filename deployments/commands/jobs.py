"""`run` and `drill`: the commands that start a job from the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from spotwave.deployments.commands.terminal import console, own_home, print_line
from spotwave.deployments.parameter_file import text_of


def run(
    deployment: str,
    *,
    param: Annotated[list[str] | None, cyclopts.Parameter(name=["--param", "-p"], negative="")] = None,
    yes: Annotated[bool, cyclopts.Parameter(name=["--yes", "-y"], negative="")] = False,
) -> None:
    """Run a deployment, follow it in the terminal, and print the result. Ctrl-C leaves the job running.

    Parameters
    ----------
    deployment
        "flow/deployment", e.g. shci/water-dimer.
    param
        key=value with the value as JSON or plain text, or key=@file for the text of a file; may be repeated.
    yes
        Approve the quote in advance, whatever it is.
    """
    from spotwave.deployments.job import run_job
    from spotwave.deployments.up import up as bring_up

    home = own_home()
    parameters = parsed(param or []) | ({"approved": True} if yes else {})
    found = bring_up(home, print_line, reconcile=False)
    with found.api.in_use(home):
        sys.exit(run_job(home, found.api, deployment, parameters, console))


def drill(
    *,
    cloud: Annotated[list[str] | None, cyclopts.Parameter(negative="")] = None,
    minutes: float = 60.0,
    yes: Annotated[bool, cyclopts.Parameter(name=["--yes", "-y"], negative="")] = False,
    remote: str = "rclone-remote/here",
    access: str = "prefect-access/here",
    store: str = "snapshot-store/here",
) -> None:
    """Rehearse an interruption: the smallest machine is interrupted on purpose, and the job must continue.

    Parameters
    ----------
    cloud
        A Cloud block, such as aws-cloud/mine; may be repeated. Default: local-cloud/here.
    minutes
        Time limit for all machines of a drill together; it bounds the cost.
    yes
        Start without asking.
    remote
        The rclone remote block.
    access
        The block that defines how a machine reaches the Prefect API.
    store
        The snapshot store.
    """
    from spotwave.deployments import drill as drills
    from spotwave.deployments.up import up as bring_up

    home = own_home()
    found = bring_up(home, print_line, reconcile=False)
    with found.api.in_use(home):
        most = drills.estimates(cloud or ["local-cloud/here"], minutes, store)
        for line in drills.announcement(most):
            print_line(line)
        if not yes and not drills.is_confirmed(most, console.input if sys.stdin.isatty() else None):
            print_line("nothing was launched")
            sys.exit(1)
        blocks = {"remote": remote, "access": access, "store": store}
        sys.exit(drills.rehearse(home, found.api, most, blocks, console))


def parsed(pairs: list[str]) -> dict[str, Any]:
    """Return the parameters of "key=value" pairs; a value is JSON or else text, or the text of a file after "@".

    Raises ValueError for a malformed pair.
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"-p {pair}: write it as key=value")
        if value.startswith("@"):
            parameters[key] = text_of(key, Path(value[1:]))
            continue
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    return parameters
