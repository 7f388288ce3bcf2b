"""`up`, `down`, `open`, `clean`, `proxy`: the commands for processes on the controller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from spotwave.deployments.commands.terminal import own_home, print_line
from spotwave.deployments.home import Home


def up() -> None:
    """Start Prefect (unless one is configured) and the controller's worker; register blocks and deployments."""
    from spotwave.deployments.browser import link
    from spotwave.deployments.up import up as bring_up

    home = own_home()
    found = bring_up(home, print_line)
    print_line(f"ready: {link(found.api, home)}")


def down() -> None:
    """End all Spotwave processes on this computer. Machines in clouds keep running, and are listed."""
    _end_all(own_home())


def open_ui() -> None:
    """Open Prefect's UI in the browser, logged in. The address is also printed, and works once."""
    from spotwave.deployments.browser import link, open_in_browser
    from spotwave.deployments.existing_api import existing_api

    home = own_home()
    api = existing_api(home)
    with api.in_use(home):
        address = link(api, home)
    print_line(address)
    if not open_in_browser(address, home):
        print_line("no browser was found: open this address in one")


def clean(*, state: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """End all Spotwave processes on this computer, and remove the Prefect profile and temporary files.

    Parameters
    ----------
    state
        Also remove your state: blocks, jobs, budgets, the ledger of spending, checkpoints. Results stay.
    """
    from spotwave.deployments.clean import clean as remove_all

    home = own_home()
    _end_all(home)
    remove_all(home, print_line, state)


def proxy(
    *,
    access: str = "prefect-access/here",
    host: str = "127.0.0.1",
    port: int = 4280,
    cert: Path | None = None,
    key: Path | None = None,
) -> None:
    """Run the proxy that gives each machine access to its own flow run in this controller's Prefect API. Stop: Ctrl-C.

    Parameters
    ----------
    access
        The block whose proxy_key signs the machines' tokens.
    host
        The address to listen on; any other than 127.0.0.1 needs a certificate.
    port
        The port to listen on; 0 takes a free one.
    cert
        The certificate chain, PEM. Omit it behind a server that does TLS (docs/access.md).
    key
        The certificate's key, PEM.
    """
    from spotwave.deployments.proxy.serve import serve

    serve(own_home(), access, host, port, cert, key, print_line)


def _end_all(home: Home) -> None:
    """End all Spotwave processes on this computer; exit with code 1 if one cannot be ended."""
    from spotwave.deployments.down import down as take_down

    left = take_down(home, print_line)
    for machine in left.machines:
        print_line(f"still running and billed: {machine}")
    for process in left.processes:
        print_line(f"could not be ended: process {process.pid}")
    if left.processes:
        sys.exit(1)
