"""The console command `spotwave`. It only calls what is there; flows and deployments do the work."""

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
    """Errors that are a line for the user. OfferOptions for only when there is one: the import takes a second."""
    from spotwave.blocks.snapshots import StoreUnavailable
    from spotwave.deployments.api import Unavailable
    from spotwave.deployments.home import NotOurs

    return Unavailable, NotOurs, StoreUnavailable, ValueError


def main() -> None:
    """Entry point: errors meant for the user are one line and exit code 1."""
    os.umask(PRIVATE)
    os.environ |= past_proxies(os.environ)  # what Prefect sends while the command ends goes to this computer, too
    # A flow that ran here (reap) is told in events, which Prefect sends while the command ends; its waiting is no news.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    try:
        app()
    except _for_the_user() as error:
        errors.print(f"spotwave: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
