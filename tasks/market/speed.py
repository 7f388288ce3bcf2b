"""The speed of a family's cores, and the work of a kind of job: assumed at first, then learned from earlier runs.

The unit of work is the core-hour of a reference core: one physical x86-64 core with both hyperthreads in use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

# Per physical core, before anything is measured. A whole core without hyperthreads lacks what the second thread
# brings (10 to 30 % in dense linear algebra and CI); Arm server cores have narrower vector units.
WITHOUT_HYPERTHREADS = 0.9
ARM64 = 0.85
_TRUST = 1.0  # weight of an assumed speed, in runs

SPEEDS: dict[str, pl.DataType] = {
    "cloud": pl.String(),
    "family": pl.String(),
    "measured": pl.Float64(),  #: reference core-hours per core-hour
    "runs": pl.Int64(),
}


def assumed_speed() -> pl.Expr:
    """Return column `assumed`: speed of one physical core relative to the reference core."""
    whole = pl.when(pl.col("vcpus") > pl.col("cores")).then(1.0).otherwise(WITHOUT_HYPERTHREADS)
    return pl.when(pl.col("architecture") == "arm64").then(ARM64).otherwise(whole).alias("assumed")


def with_speed(offers: pl.DataFrame, speeds: pl.DataFrame | None) -> pl.DataFrame:
    """Return the offers with columns `speed` (of one physical core) and `measured_speed` (whether it was measured)."""
    table = pl.DataFrame(schema=SPEEDS) if speeds is None else speeds
    joined = offers.with_columns(assumed_speed())
    if table.is_empty():  # nothing learned yet: skip the join of a million rows
        return joined.rename({"assumed": "speed"}).with_columns(measured_speed=pl.lit(False))
    return (
        joined.join(table.drop("runs"), on=["cloud", "family"], how="left", maintain_order="left")
        .with_columns(
            speed=pl.coalesce("measured", "assumed"),
            measured_speed=pl.col("measured").is_not_null(),
        )
        .drop("measured", "assumed")
    )


def learned(runs: list[dict[str, Any]], kind: str, work: str) -> tuple[pl.DataFrame, float | None]:
    """Estimate speeds by family (as in SPEEDS) and the reference core-hours of this work (or None) from earlier runs.

    runs: notes of `tasks.market.learned`; kind: the program that they must share; work: the calculation's fingerprint.
    Each run has core_h = work / speed. Over all runs of a kind, ln(core_h) = ln(work) - ln(speed) is solved by least
    squares for every work and every family. Each family is tied to its assumed speed with the weight of one run, so a
    single slow run does not rule out a family.
    """
    table = [run for run in runs if run["kind"] == kind and run["core_h"] > 0]
    if not table:
        return pl.DataFrame(schema=SPEEDS), None
    works = sorted({str(run["work"]) for run in table})
    families = sorted({(str(run["cloud"]), str(run["family"])) for run in table})
    unknowns = len(works) + len(families)
    rows, right = [], []
    for run in table:
        row = np.zeros(unknowns)
        row[works.index(str(run["work"]))] = 1.0
        row[len(works) + families.index((str(run["cloud"]), str(run["family"])))] = -1.0
        rows.append(row)
        right.append(np.log(run["core_h"]))
    for number, family in enumerate(families):
        row = np.zeros(unknowns)
        row[len(works) + number] = _TRUST
        rows.append(row)
        prior = next(run["assumed"] for run in table if (str(run["cloud"]), str(run["family"])) == family)
        right.append(_TRUST * np.log(prior))
    solved, *_ = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)
    counts = [sum((run["cloud"], run["family"]) == family for run in table) for family in families]
    speeds = pl.DataFrame(
        {
            "cloud": [cloud for cloud, _ in families],
            "family": [family for _, family in families],
            "measured": np.exp(solved[len(works) :]),
            "runs": counts,
        },
        schema=SPEEDS,
    )
    core_h = float(np.exp(solved[works.index(work)])) if work in works else None
    return speeds, core_h
