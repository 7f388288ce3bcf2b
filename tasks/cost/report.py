"""Cost reports from the ledger of spending: sums by month, project or cloud, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from prefect.artifacts import create_table_artifact

from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.ledger import Entry
from spotwave.tasks.figure import show
from spotwave.tasks.load_blocks import load_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Literal["month", "project", "cloud"]

_KEYS: dict[By, Callable[[Entry], str]] = {
    "month": lambda entry: entry.month,
    "project": lambda entry: entry.project,
    "cloud": lambda entry: entry.cloud or "not yet",
}
_SPENT, _RESERVED, _ON_DEMAND = "#1f5fa8", "#94a3b8", "#c2410c"


@dataclass
class Cost:
    """Cost of one month, project or cloud. USD, and machine hours."""

    name: str
    usd: float = 0.0  #: cost of ended attempts
    reserved_usd: float = 0.0  #: maximum cost of running attempts
    hours: float = 0.0
    attempts: int = 0
    jobs: int = 0
    on_demand_usd: float | None = 0.0  #: ended attempts at on-demand prices; None if a price is unknown
    running: int = 0  #: number of running attempts


def by(entries: Iterable[Entry], what: By) -> list[Cost]:
    """Return the costs, sorted by name."""
    found: dict[str, Cost] = {}
    jobs: dict[str, set[str]] = {}
    for entry in entries:
        name = _KEYS[what](entry)
        cost = found.setdefault(name, Cost(name))
        jobs.setdefault(name, set()).add(entry.job)
        cost.attempts += 1
        if entry.state == "reserved":
            cost.running += 1
            cost.reserved_usd += entry.usd
            continue
        cost.usd += entry.usd
        cost.hours += entry.hours
        if entry.on_demand_usd is None:
            cost.on_demand_usd = None
        elif cost.on_demand_usd is not None:
            cost.on_demand_usd += entry.on_demand_usd
    for name, cost in found.items():
        cost.jobs = len(jobs[name])
    return [found[name] for name in sorted(found)]


def rows(costs: list[Cost]) -> list[dict[str, Any]]:
    """Return the costs as JSON and as rows of the artifact's table."""
    return [
        {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(cost).items()}
        for cost in costs
    ]


def figure(costs: list[Cost], what: By) -> Figure:
    """Draw bars of the spent and reserved amounts, and a mark at the on-demand cost."""
    from matplotlib.figure import Figure  # imported here: it would slow down every start of the command

    drawn = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = drawn.subplots()
    places = list(range(len(costs)))
    spent = [cost.usd for cost in costs]
    axes.bar(places, spent, width=0.6, color=_SPENT, label="spent")
    reserved = [cost.reserved_usd for cost in costs]
    if any(reserved):
        axes.bar(places, reserved, width=0.6, bottom=spent, color=_RESERVED, hatch="//", label="reserved")
    marks = [(place, cost.on_demand_usd) for place, cost in enumerate(costs) if cost.on_demand_usd]
    if marks:
        axes.plot(
            [place for place, _ in marks],
            [usd for _, usd in marks],
            linestyle="none",
            marker="_",
            markersize=34,
            markeredgewidth=2,
            color=_ON_DEMAND,
            label="on demand",
        )
    for place, cost in enumerate(costs):
        label = f"{cost.usd:.4g}" + (f" (+{cost.reserved_usd:.4g})" if cost.reserved_usd else "")
        top = cost.usd + cost.reserved_usd
        axes.annotate(label, (place, top), ha="center", va="bottom", xytext=(0, 2), textcoords="offset points")
    axes.set_xticks(places, [cost.name for cost in costs])
    axes.set_xlim(-0.8, len(costs) - 0.2)
    axes.set_ylabel("USD")
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_title(f"{sum(spent):.4g} USD spent, by {what}")
    axes.legend(loc="best", markerscale=0.5)
    return drawn


@task(name="draw_costs")
def draw_costs(store: str, what: By) -> list[dict[str, Any]]:
    """Draw the artifacts `costs` (table) and `costs-picture`; return the table's rows. Raises StoreUnavailable."""
    costs = by(ledger.read(load_store(store)), what)
    table_rows = rows(costs)
    create_table_artifact(key="costs", table=table_rows, description=f"Cost by {what}; USD")
    if costs:
        show(figure(costs, what), "costs-picture", f"Costs by {what}", f"Cost by {what}; USD")
    return table_rows
