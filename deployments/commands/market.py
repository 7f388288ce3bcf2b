"""`prices`, `why`, `costs`: what machines would cost, and what they have cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from spotwave.deployments.commands.terminal import errors, own_home, say, say_raw, wide
from spotwave.deployments.offer_options import OfferOptions


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

    with market.place(own_home()) as (store, client):
        seen = market.look(asked, now, store, client, errors)
        choice = market.choose(asked, seen, store)
    if as_json:
        say_raw(market.as_json(choice, seen, top))
    elif as_csv:
        market.write_csv(choice, top)
    else:
        if choice.ranked:
            wide().print(market.as_table(choice, top))
        for line in market.closing(choice, seen):
            say(line)
    if not choice.ranked:
        sys.exit(1)


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
    with market.place(own_home()) as (store, client):
        told = market.why_job(client, words[0]) if client is not None and len(words) == 1 else None
        if told is not None:
            wide().print(Markdown(told))
            return
        for line in market.why_offer(words, asked, store):
            say(line)


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

    with market.place(own_home()) as (store, _):
        found = ledger.summed(store, by)
    if picture is not None:
        ledger.draw(found, by, picture)
    if as_json:
        say_raw(ledger.as_json(found))
        return
    if found:
        wide().print(ledger.as_table(found, by))
    say(ledger.closing(found))
