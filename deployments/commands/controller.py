"""`up`, `down`, `open`, `clean`, `proxy`: what runs on the controller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from spotwave.deployments.commands.terminal import own_home, say
from spotwave.deployments.home import Home


def up() -> None:
    """Start what a job needs: Prefect server (if none is configured), blocks, deployments, controller's worker."""
    from spotwave.deployments.browser import link
    from spotwave.deployments.up import up as bring_up

    home = own_home()
    found = bring_up(home, say)
    say(f"ready: {link(found.api, home)}")


def down() -> None:
    """End everything of ours on this computer. Machines in clouds go on, and are named."""
    _taken_down(own_home())


def open_ui() -> None:
    """Open Prefect's UI in the browser, logged in. The address, which is printed too, works once."""
    from spotwave.deployments.browser import link, opened
    from spotwave.deployments.up import existing_api

    home = own_home()
    api = existing_api(home)
    with api.in_use(home):
        address = link(api, home)
    say(address)
    if not opened(address, home):
        say("no browser was found here: open this address in one")


def clean(*, state: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """End everything of ours on this computer, and remove the Prefect profile and temporary files.

    Parameters
    ----------
    state
        Remove your state too: blocks, jobs, budgets, the ledger of spending, checkpoints. Results stay.
    """
    from spotwave.deployments.clean import clean as remove_all

    home = own_home()
    _taken_down(home)
    remove_all(home, say, state)


def proxy(
    *,
    access: str = "prefect-access/here",
    host: str = "127.0.0.1",
    port: int = 4280,
    cert: Path | None = None,
    key: Path | None = None,
) -> None:
    """Let machines reach this controller's Prefect API, each its own flow run and nothing else. Until Ctrl-C.

    Parameters
    ----------
    access
        The block whose proxy_key signs the machines' tokens.
    host
        Where to listen; another than 127.0.0.1 needs a certificate.
    port
        0 takes a free one.
    cert
        The certificate chain, PEM. Without: behind a server that does TLS (docs/access.md).
    key
        The certificate's key, PEM.
    """
    from spotwave.deployments.proxy.serve import serve

    serve(own_home(), access, host, port, cert, key, say)


def _taken_down(home: Home) -> None:
    """End what is ours on this computer; exit code 1 if a process stays."""
    from spotwave.deployments.down import down as take_down

    left = take_down(home, say)
    for machine in left.machines:
        say(f"still running, and billed: {machine}")
    for process in left.processes:
        say(f"could not be ended: process {process.pid}")
    if left.processes:
        sys.exit(1)
