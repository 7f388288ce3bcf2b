"""The console command `spotwave`. It only calls what is there; flows and deployments do the work."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from rich.console import Console

from spotwave.blocks.endpoints import past_proxies
from spotwave.deployments.home import Home, home_of
from spotwave.deployments.offer_options import OfferOptions
from spotwave.deployments.parameter_file import text_of
from spotwave.deployments.processes import PRIVATE

app = cyclopts.App(name="spotwave", help="Long calculations on the cheapest spot machines, as Prefect flows.")
console = Console()
errors = Console(stderr=True)


def _say(message: str) -> None:
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def _home() -> Home:
    """Raises NotOurs."""
    found = home_of()
    found.check_ours()
    return found


def _wide() -> Console:
    """For tables: as wide as they need, even if the terminal is not, for cells that are cut tell nothing."""
    return Console(width=max(console.width, 140))


def _taken_down(home: Home) -> None:
    """End what is ours on this computer; exit code 1 if a process stays."""
    from spotwave.deployments.down import down as take_down

    left = take_down(home, _say)
    for machine in left.machines:
        _say(f"still running, and billed: {machine}")
    for process in left.processes:
        _say(f"could not be ended: process {process.pid}")
    if left.processes:
        sys.exit(1)


def _say_raw(text: str) -> None:
    sys.stdout.write(f"{text}\n")


@app.command
def up() -> None:
    """Start what a job needs: Prefect server (if none is configured), blocks, deployments, controller's worker."""
    from spotwave.deployments.browser import link
    from spotwave.deployments.up import up as bring_up

    home = _home()
    found = bring_up(home, _say)
    _say(f"ready: {link(found.api, home)}")


@app.command
def down() -> None:
    """End everything of ours on this computer. Machines in clouds go on, and are named."""
    _taken_down(_home())


@app.command(name="open")
def open_ui() -> None:
    """Open Prefect's UI in the browser, logged in. The address, which is printed too, works once."""
    from spotwave.deployments.browser import link, opened
    from spotwave.deployments.up import existing_api

    home = _home()
    api = existing_api(home)
    with api.in_use(home):
        address = link(api, home)
    _say(address)
    if not opened(address, home):
        _say("no browser was found here: open this address in one")


@app.command
def clean(*, state: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """End everything of ours on this computer, and remove the Prefect profile and temporary files.

    Parameters
    ----------
    state
        Remove your state too: blocks, jobs, budgets, the ledger of spending, checkpoints. Results stay.
    """
    from spotwave.deployments.clean import clean as remove_all

    home = _home()
    _taken_down(home)
    remove_all(home, _say, state)


@app.command
def run(
    deployment: str,
    *,
    param: Annotated[list[str] | None, cyclopts.Parameter(name=["--param", "-p"], negative="")] = None,
    yes: Annotated[bool, cyclopts.Parameter(name=["--yes", "-y"], negative="")] = False,
) -> None:
    """Run a deployment, follow it in the terminal, and print what came out. Ctrl-C leaves the job running.

    Parameters
    ----------
    deployment
        "flow/deployment", e.g. shci/water-dimer.
    param
        key=value, the value as JSON or as plain text, or key=@file for the text of a file; may be repeated.
    yes
        Approve the quote beforehand, whatever it is.
    """
    from spotwave.deployments.job import run_job
    from spotwave.deployments.up import up as bring_up

    home = _home()
    parameters = parsed(param or []) | ({"approved": True} if yes else {})
    found = bring_up(home, _say, reconcile=False)
    with found.api.in_use(home):
        sys.exit(run_job(home, found.api, deployment, parameters, console))


@app.command
def drill(
    *,
    cloud: Annotated[list[str] | None, cyclopts.Parameter(negative="")] = None,
    minutes: float = 60.0,
    yes: Annotated[bool, cyclopts.Parameter(name=["--yes", "-y"], negative="")] = False,
    remote: str = "rclone-remote/here",
    access: str = "prefect-access/here",
    store: str = "snapshot-store/here",
) -> None:
    """Rehearse an interruption with the smallest machine: it is taken back on purpose, and the work must go on.

    Parameters
    ----------
    cloud
        A Cloud block, as '<block type>/<document>'; may be repeated. local-cloud/here if not given.
    minutes
        For all machines of a drill together; none outlives it, and it bounds the cost.
    yes
        Begin without asking.
    remote
        The rclone remote block.
    access
        The block that says how a machine reaches the Prefect API.
    store
        The snapshot store.
    """
    from spotwave.deployments import drill as drills
    from spotwave.deployments.up import up as bring_up

    home = _home()
    found = bring_up(home, _say, reconcile=False)
    with found.api.in_use(home):
        most = drills.promises(cloud or ["local-cloud/here"], minutes, store)
        for line in drills.told(most):
            _say(line)
        if not yes and not drills.agreed(most, console.input if sys.stdin.isatty() else None):
            _say("nothing was launched")
            sys.exit(1)
        blocks = {"remote": remote, "access": access, "store": store}
        sys.exit(drills.rehearse(home, found.api, most, blocks, console))


@app.command
def ls() -> None:
    """List our machines on all configured clouds: job, attempt, state, age, and what they cost now and so far."""
    from prefect.client.orchestration import get_client

    from spotwave.deployments.machines import Found, Silent, as_table, find_all, total
    from spotwave.deployments.up import existing_api

    home = _home()
    with existing_api(home).in_use(home), get_client(sync_client=True) as client:
        answers = list(find_all(client))
    found = [one for one in answers if isinstance(one, Found)]
    if found:
        _wide().print(as_table(found))
        _say(total(found))
    else:
        _say("no machines")
    silent = [one for one in answers if isinstance(one, Silent)]
    for one in silent:
        _say(f"{one.block} could not be asked: {one.reason}")
    if silent:
        sys.exit(1)


@app.command
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

    home, listing, missing = _home(), table(), 0
    api = existing_api(home)
    with api.in_use(home), get_client(sync_client=True) as client, errors.status("looking") as status:
        for document, finding in [*([] if block else server_findings(api)), *findings(client, list(block))]:
            status.update(f"{document}: {finding.what}")
            listing.add_row(*row(document, finding))
            missing += finding.ok is False
    _wide().print(listing)
    if missing:
        _say(f"{missing} missing")
        sys.exit(1)


@app.command
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

    home = _home()
    with existing_api(home).in_use(home):
        if not dry_run:
            reap_flow()
            return
        seen = survey()
    if seen.things:
        _wide().print(as_table(seen))
    _say(f"{len(seen.forgotten)} of {len(seen.things)} would go")
    for name, why in seen.silent.items():
        _say(f"{name} could not be asked: {why}")
    if seen.silent:
        sys.exit(1)


@app.command
def prices(
    asked: OfferOptions = OfferOptions(),
    *,
    top: int = 10,
    now: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
    as_csv: Annotated[bool, cyclopts.Parameter(name="--csv", negative="")] = False,
) -> None:
    """The offers that finish a job for least, out of the last snapshots of all clouds.

    Parameters
    ----------
    top
        How many to show.
    now
        Ask the clouds instead of the snapshots.
    as_json
        As JSON, with every term of the cost.
    as_csv
        As CSV, with every term of the cost.
    """
    asked.requirements()  # what was mistyped is said before anything is asked for, or imported
    if top < 1:
        raise ValueError(f"--top: {top} is no number of offers; give 1 or more")
    from spotwave.deployments import prices as market

    with market.place(_home()) as (store, client):
        seen = market.look(asked, now, store, client, errors)
        choice = market.choose(asked, seen, store)
    if as_json:
        _say_raw(market.as_json(choice, seen, top))
    elif as_csv:
        market.write_csv(choice, top)
    else:
        if choice.ranked:
            _wide().print(market.as_table(choice, top))
        for line in market.closing(choice, seen):
            _say(line)
    if not choice.ranked:
        sys.exit(1)


@app.command
def why(*what: str, asked: OfferOptions = OfferOptions()) -> None:
    """Explain a choice: of a job (its key), or where an offer stands and why.

    Parameters
    ----------
    what
        A job key (sw-...), or words that name an offer: m7i.4xlarge us-east-1.
    """
    from rich.markdown import Markdown

    from spotwave.deployments import prices as market

    words = [word for words in what for word in words.split()]
    if not words:
        raise ValueError("why: name a job (sw-...) or an offer, e.g. 'm7i.4xlarge us-east-1'")
    with market.place(_home()) as (store, client):
        told = market.why_job(client, words[0]) if client is not None and len(words) == 1 else None
        if told is not None:
            _wide().print(Markdown(told))
            return
        for line in market.why_offer(words, asked, store):
            _say(line)


@app.command
def costs(
    *,
    by: Literal["month", "project", "cloud"] = "month",
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
    picture: Path | None = None,
) -> None:
    """What jobs have cost, and what those that run may cost at most, out of the ledger of spending.

    Parameters
    ----------
    by
        What to sum by.
    as_json
        As JSON.
    picture
        Draw a bar chart into this file too, e.g. costs.png.
    """
    from spotwave.deployments import costs as ledger
    from spotwave.deployments import prices as market

    with market.place(_home()) as (store, _):
        found = ledger.summed(store, by)
    if picture is not None:
        ledger.draw(found, by, picture)
    if as_json:
        _say_raw(ledger.as_json(found))
        return
    if found:
        _wide().print(ledger.as_table(found, by))
    _say(ledger.closing(found))


@app.command
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

    serve(_home(), access, host, port, cert, key, _say)


def parsed(pairs: list[str]) -> dict[str, Any]:
    """Parameters from "key=value" pairs, values as JSON or else as text, or out of a file after "@".

    Raises ValueError for anything else.
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
