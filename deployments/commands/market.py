"""`prices`, `why`, `costs`: the commands for current prices and past costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from spotwave.deployments.commands.terminal import errors, own_home, print_line, print_raw, wide
from spotwave.deployments.offer_options import OfferOptions


def prices(
    asked: OfferOptions = OfferOptions(),
    *,
    top: int = 10,
    now: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
    as_csv: Annotated[bool, cyclopts.Parameter(name="--csv", negative="")] = False,
) -> None:
    """Show the offers with the lowest expected cost to finish a job, from the last snapshots of all clouds.

    Parameters
    ----------
    top
        How many offers to show.
    now
        Query the clouds instead of reading the snapshots.
    as_json
        Print JSON with every term of the cost.
    as_csv
        Print CSV with every term of the cost.
    """
    asked.requirements()  # reports invalid options before any slow import or query
    if top < 1:
        raise ValueError(f"--top: must be at least 1, not {top}")
    from spotwave.deployments import prices as market

    with market.store_and_client(own_home()) as (store, client):
        seen = market.load_view(asked, now, store, client, errors)
        choice = market.choose(asked, seen, store)
    if as_json:
        print_raw(market.as_json(choice, seen, top))
    elif as_csv:
        market.write_csv(choice, top)
    else:
        if choice.ranked:
            wide().print(market.as_table(choice, top))
        for line in market.closing(choice, seen):
            print_line(line)
    if not choice.ranked:
        sys.exit(1)


def why(*what: str, asked: OfferOptions = OfferOptions()) -> None:
    """Explain the choice of a job's machine, or the rank of an offer.

    Parameters
    ----------
    what
        A job key (sw-...), or words that identify an offer: m7i.4xlarge us-east-1.
    """
    from rich.markdown import Markdown

    from spotwave.deployments import prices as market

    words = [word for words in what for word in words.split()]
    if not words:
        raise ValueError("why: give a job key (sw-...) or an offer, e.g. 'm7i.4xlarge us-east-1'")
    with market.store_and_client(own_home()) as (store, client):
        table = market.why_job(client, words[0]) if client is not None and len(words) == 1 else None
        if table is not None:
            wide().print(Markdown(table))
            return
        for line in market.why_offer(words, asked, store):
            print_line(line)


def costs(
    *,
    by: Literal["month", "project", "cloud"] = "month",
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
    picture: Path | None = None,
) -> None:
    """Show what jobs have cost, and the most that running jobs can cost, from the ledger of spending.

    Parameters
    ----------
    by
        The key to group by.
    as_json
        Print JSON.
    picture
        Also draw a bar chart into this file, e.g. costs.png.
    """
    from spotwave.deployments import costs as ledger
    from spotwave.deployments import prices as market

    with market.store_and_client(own_home()) as (store, _):
        found = ledger.summed(store, by)
    if picture is not None:
        ledger.draw(found, by, picture)
    if as_json:
        print_raw(ledger.as_json(found))
        return
    if found:
        wide().print(ledger.as_table(found, by))
    print_line(ledger.closing(found))
