"""Step: show the attempts so far: time, machine, price, and how each ended."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact

from spotwave.node.untrusted.plain_text import markdown
from spotwave.tasks.cost.receipt import cost_of
from spotwave.tasks.records import Attempt


@task(name="timeline")
def timeline(attempts: list[Attempt], begun: float) -> None:
    """Draw the markdown artifact `attempts`. begun: Unix seconds of the job's start."""
    create_markdown_artifact(key="attempts", markdown=_table(attempts, begun), description="The machines of this job")


def _table(attempts: list[Attempt], begun: float) -> str:
    lines = ["| | machine | GiB | from | to | USD/h | USD | ended | why |", "|--|--|--:|--|--|--:|--:|--|--|"]
    for a in attempts:
        start, end = a.machine.launched_at.timestamp() - begun, a.ended_at.timestamp() - begun
        cells = [
            str(a.number),
            markdown(a.machine.offer.label),
            f"{a.machine.offer.memory_gib:g}",
            f"+{_clock(start)}",
            f"+{_clock(end)}",
            f"{a.machine.offer.spot_usd_h:.4f}",
            f"{a.usd:.4f}",
            a.outcome.in_a_word,
            markdown(a.outcome.reason),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nThe machine of attempt {a.number}: {markdown(a.why)}." for a in attempts[1:] if a.why]
    total = cost_of(attempts)
    lines += ["", f"Total: {total['hours']:.3f} machine hours, {total['usd']:.4f} USD."]
    kept = [a.outcome.generation for a in attempts if a.outcome.generation]
    if kept:
        lines.append(f"Newest verified checkpoint: `{kept[-1]}`.")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    """Format as h:mm:ss."""
    total = max(0, round(seconds))
    return f"{total // 3600}:{total // 60 % 60:02d}:{total % 60:02d}"
