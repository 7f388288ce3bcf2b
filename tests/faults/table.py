"""The matrix as text and Markdown."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median

from tests.faults.calls import ANSWERS, ANY, RIGHT
from tests.faults.fault_catalog import CLOUDS, Case, all_cases
from tests.faults.verdict import Verdict


def line_of(verdict: Verdict) -> str:
    """Return one case in one line."""
    mark = "ok  " if verdict.good else "BAD "
    tail = "" if verdict.good else f"  {verdict.problem}"
    return (
        f"{mark} {verdict.case.name}: {verdict.outcome[:60]}, {verdict.attempts} machines, {verdict.seconds:.0f} s, "
        f"{verdict.usd:.6f} USD{tail}"
    )


def closing(verdicts: list[Verdict]) -> str:
    """Return the last line of `make faults`."""
    lost = sum(bool(one.lost) for one in verdicts)
    doubled = sum(bool(one.doubled) for one in verdicts)
    orphans = sum(bool(one.orphans) for one in verdicts)
    broken = sum(bool(one.broken) for one in verdicts)
    unbilled = sum(bool(one.unbilled) for one in verdicts)
    tail = f", {broken} not completed" if broken else ""
    tail += f", {unbilled} receipts differ from the ledger" if unbilled else ""
    return f"{len(verdicts)} cases: {lost} lost, {doubled} doubled, {orphans} orphans{tail}"


def as_markdown(verdicts: list[Verdict], seed: int) -> str:
    """Return a row for each step and fault, with a cell for each cloud: machines, seconds and USD lost."""
    base = {
        cloud: _median([one for one in verdicts if one.case.cloud == cloud and one.case.fault == "undisturbed"])
        for cloud in CLOUDS
    }
    found = {one.case: one for one in verdicts}
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}. {closing(verdicts)}.",
        "",
        "A cell shows the number of machines, and the seconds and micro-USD lost compared with the undisturbed job of"
        " that cloud. Several jobs ran in parallel, so seconds are approximate.",
        "",
        f"| fault | step | {' | '.join(CLOUDS)} |",
        f"|--|--|{'--|' * len(CLOUDS)}",
    ]
    pairs = dict.fromkeys((case.fault, case.step) for case in all_cases())
    for fault, step in pairs:
        row = [found.get(Case(cloud, step, fault)) for cloud in CLOUDS]
        if any(row):
            lines.append(f"| {fault} | {step} | {' | '.join(_cell(one, base) for one in row)} |")
    return "\n".join([*lines, *_calls(verdicts)]) + "\n"


def _calls(verdicts: list[Verdict]) -> list[str]:
    """Return a row for each call, with a cell for each answer. Seconds and USD compared with an undisturbed job."""
    rows = dict.fromkeys((one.case.cloud, one.case.step) for one in verdicts if one.case.fault in ANSWERS)
    if not rows:
        return []
    found = {one.case: one for one in verdicts}
    usual = {cloud: found.get(Case(cloud, ANY, RIGHT)) for cloud in CLOUDS}
    base = {cloud: (one.seconds, one.usd) for cloud, one in usual.items() if one is not None}
    lines = ["", f"| cloud | call | {' | '.join(ANSWERS)} |", f"|--|--|{'--|' * len(ANSWERS)}"]
    for cloud, call in sorted(rows):
        cells = [_cell(found.get(Case(cloud, call, answer)), base) for answer in ANSWERS]
        lines.append(f"| {cloud} | {call} | {' | '.join(cells)} |")
    return lines


def _cell(one: Verdict | None, base: dict[str, tuple[float, float]]) -> str:
    if one is None:
        return ""
    if not one.good:
        return f"**{one.problem}**"
    seconds, usd = base[one.case.cloud]
    return f"{one.attempts}, {one.seconds - seconds:+.0f} s, {1e6 * (one.usd - usd):+.0f}"


def _median(verdicts: list[Verdict]) -> tuple[float, float]:
    """Return the median (seconds, USD); 0 if there is no verdict."""
    if not verdicts:
        return 0.0, 0.0
    return median(one.seconds for one in verdicts), median(one.usd for one in verdicts)
