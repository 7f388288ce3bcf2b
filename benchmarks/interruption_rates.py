"""Measured interruption rates from recorded lifetimes and traces, compared with the rates that the clouds publish.

    python -m benchmarks.interruption_rates [--data ../shared/data] [--table]

Reads lifetimes of preemptible VMs (gcp_preemption_lifetimes_2019.csv.gz: 1,442 of GCP, each with the kind of its end)
and traces of availability (skypilot_*.csv.gz: whether a spot GPU of AWS was available, every 195 or 600 s). Prints
interruptions per hour of running: of all N1 machines except those ended by the limit of 24 h
(`interruptions_n1_per_h`), of the GPUs (`interruptions_gpu_per_h`), and the mean hours of a stopped machine
(`stopped_vm_hours`). Each is followed by the value that `blocks.interruption` assumes if a cloud publishes none
(`..._assumed`). --table prints the table of docs/market.md instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from spotwave.blocks.interruption import (
    STOPPED_VM_H,
    UNKNOWN_GPU_PER_H,
    UNKNOWN_PER_H,
    of_hour,
    of_month,
    of_stops,
    word_of,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LIFETIMES, RUNS, META = "gcp_preemption_lifetimes_2019.csv.gz", "skypilot_runs.csv.gz", "skypilot_meta.csv.gz"
LIMIT_H = 23.5  # a preemptible VM is stopped at 24 h, a spot VM is not


@dataclass(frozen=True)
class Recorded:
    """Number of events in the given hours of running."""

    what: str
    events: int
    hours: float

    @property
    def per_h(self) -> float:
        return self.events / self.hours


def of_lifetimes(vms: pl.DataFrame, what: str, least_h: float = 0.0, most_h: float = LIMIT_H) -> Recorded:
    """Return the preemptions at an age from `least_h` to `most_h`, and the hours that all machines ran at that age.

    vms: columns hours, preempted. A machine that ended in another way, or later, counts with its hours.
    """
    age = pl.col("hours")
    events = vms.filter(pl.col("preempted") & (age >= least_h) & (age < most_h)).height
    return Recorded(what, events, vms.select((age.clip(least_h, most_h) - least_h).sum()).item())


def of_traces(runs: pl.DataFrame, meta: pl.DataFrame) -> pl.DataFrame:
    """Return trace, events, hours: how often availability ended, and how long it lasted.

    The end of a trace is not counted as an end of availability. The rate is an upper bound for a running machine, which
    is not interrupted whenever no new machine is available.
    """
    last = pl.col("start_tick") == pl.col("start_tick").max().over("trace")
    return (
        runs.join(meta.select("trace", "gap_seconds"), on="trace")
        .with_columns(ended=~last)  # before the filter, so that it is the last of all runs of a trace
        .filter(pl.col("value") > 0)
        .group_by("trace", maintain_order=True)
        .agg(events=pl.col("ended").sum(), hours=(pl.col("n_ticks") * pl.col("gap_seconds")).sum() / 3600)
    )


def read(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (machines as input for `of_lifetimes`, traces as returned by `of_traces`)."""
    vms = pl.read_csv(data / LIFETIMES).select(
        "machine_type", hours=pl.col("lifetime_s") / 3600, preempted=pl.col("end_kind") == "preempted"
    )
    runs, meta = pl.read_csv(data / RUNS), pl.read_csv(data / META)
    return vms, of_traces(runs, meta)


def rows(vms: pl.DataFrame, traces: pl.DataFrame) -> Iterator[Recorded]:
    """Yield the rows of the table."""
    yield of_lifetimes(vms, "GCP 2019, N1, up to 24 h")
    for least, most in ((0.0, 0.5), (0.5, 3.0), (3.0, LIMIT_H)):
        yield of_lifetimes(vms, f"&nbsp;&nbsp;at {least:g} to {most:g} h of age", least, most)
    for vcpus in (2, 8, 32):
        some = vms.filter(pl.col("machine_type").str.ends_with(f"-{vcpus}"))
        yield of_lifetimes(some, f"&nbsp;&nbsp;with {vcpus} vCPUs")
    yield total(traces, "AWS 2022/23, K80 and V100, 17 pools")
    quiet, loud = (traces.sort(pl.col("events") / pl.col("hours"), descending=worst).head(1) for worst in (False, True))
    yield total(quiet, "&nbsp;&nbsp;the quietest pool")
    yield total(loud, "&nbsp;&nbsp;the busiest pool")


def total(traces: pl.DataFrame, what: str) -> Recorded:
    return Recorded(what, int(traces["events"].sum()), float(traces["hours"].sum()))


def as_table(found: list[Recorded]) -> str:
    lines = ["| recorded | events | hours | per hour | word |", "|--|--:|--:|--:|--|"]
    lines += [
        f"| {one.what} | {one.events:,} | {one.hours:,.0f} | {one.per_h:.2g} | {word_of(one.per_h)} |" for one in found
    ]
    lines += ["", "| published | per hour | word |", "|--|--:|--|"]
    published = {
        "AWS Advisor, <5 % a month": of_month(0, 5),
        "AWS Advisor, >20 % a month (all pools above, in 2024)": of_month(20, 100),
        "Azure, 0-5 % per hour": of_hour(0, 5),
        "Azure, 20+ % per hour": of_hour(20, 100),
        "GCP, 5 % of those that stopped": of_stops(0.05, 7),
        "GCP, 25 % (as the N1 above)": of_stops(0.25, 7),
    }
    lines += [f"| {what} | {rate.per_h:.2g} | {word_of(rate.per_h)} |" for what, rate in published.items()]
    for what, per_h in (("not published", UNKNOWN_PER_H), ("not published, with a GPU", UNKNOWN_GPU_PER_H)):
        lines.append(f"| {what} | {per_h:.2g} | unknown, counted as {word_of(per_h)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table", action="store_true", help="print the table of docs/market.md")
    options = parser.parse_args()
    folder = options.data / "traces"
    if missing := [name for name in (LIFETIMES, RUNS, META) if not (folder / name).exists()]:
        sys.stderr.write(f"interruption_rates: skipped, {', '.join(missing)} not in {folder} (--data)\n")
        return
    vms, traces = read(folder)
    if options.table:
        sys.stdout.write(as_table(list(rows(vms, traces))) + "\n")
        return
    machines, gpus = of_lifetimes(vms, "n1"), total(traces, "gpu")
    for name, value in (
        ("interruptions_n1_per_h", machines.per_h),
        ("interruptions_n1_per_h_assumed", UNKNOWN_PER_H),
        ("interruptions_gpu_per_h", gpus.per_h),
        ("interruptions_gpu_per_h_assumed", UNKNOWN_GPU_PER_H),
        ("stopped_vm_hours", machines.hours / vms.height),
        ("stopped_vm_hours_assumed", STOPPED_VM_H),
    ):
        sys.stdout.write(f"{name} {value:.4f}\n")


if __name__ == "__main__":
    main()
