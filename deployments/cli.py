"""The console command `spotwave`. It only parses and dispatches; flows and deployments do the work."""

from __future__ import annotations

import logging
import os
import sys

import cyclopts

from spotwave.blocks.endpoints import past_proxies
from spotwave.deployments.commands.controller import clean, down, open_ui, proxy, up
from spotwave.deployments.commands.jobs import drill, run
from spotwave.deployments.commands.machines import check, ls, reap
from spotwave.deployments.commands.market import costs, prices, why
from spotwave.deployments.commands.terminal import errors
from spotwave.deployments.processes import PRIVATE

app = cyclopts.App(name="spotwave", help="Long calculations on the cheapest spot machines, as Prefect flows.")
for command in (up, down, clean, run, drill, ls, check, reap, prices, why, costs, proxy):
    app.command(command)
app.command(open_ui, name="open")


def _for_the_user() -> tuple[type[Exception], ...]:
    """Return the exceptions whose message is one line for the user.

    Called only when there is an exception, because the imports take a second.
    """
    from spotwave.blocks.snapshots import StoreUnavailable
    from spotwave.deployments.api import Unavailable
    from spotwave.deployments.home import HomeUnusable

    return Unavailable, HomeUnusable, StoreUnavailable, ValueError


def main() -> None:
    """Run the command; an error for the user is printed as one line, with exit code 1."""
    os.umask(PRIVATE)
    os.environ |= past_proxies(os.environ)  # also for the events that Prefect sends while the command exits
    # After a flow that runs in this process (reap), Prefect sends the remaining events while the command exits. The
    # messages about waiting for that are of no interest to the user.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    try:
        app()
    except SystemExit:  # of `--help` and of commands with an exit code: without the imports of the next line
        raise
    except _for_the_user() as error:
        errors.print(f"spotwave: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
