"""Step: draw the convergence of the energy."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from prefect import task
from prefect.logging import get_run_logger

from spotwave.node.contract import OUTPUT_DIR
from spotwave.node.untrusted.strict_json import BadJson, read_file
from spotwave.tasks.figure import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITERATIONS_FILE = f"{OUTPUT_DIR}/iterations.csv"
TABLE_BYTES, MOST_ROWS = 16 << 20, 10_000
_COLUMNS: dict[str, type[pl.DataType]] = {
    "iteration": pl.Int64,
    "determinants": pl.Int64,
    "variational_energy": pl.Float64,
}
PICTURE_FILE = "convergence.png"


@task(name="draw_convergence")
def draw_convergence(results: Path, total_energy: float | None) -> None:
    """Draw `output/iterations.csv` (columns iteration, determinants, variational_energy in Hartree) as the artifact
    `convergence` and the file `convergence.png`. total_energy: Hartree, with the perturbative correction.

    The table comes from the machine: if it is invalid there is no picture, but the job does not fail.
    """
    table = iterations(results / ITERATIONS_FILE)
    if table is None:
        get_run_logger().warning("%s has no table of iterations: no picture is drawn", ITERATIONS_FILE)
        return
    if table.is_empty():
        return
    picture = show(
        _figure(table, total_energy),
        "convergence",
        "Energy against iteration",
        "Variational energy and determinants by iteration",
    )
    (results / PICTURE_FILE).write_bytes(picture)


def iterations(path: Path) -> pl.DataFrame | None:
    """Return the valid rows of the table, which comes from a machine; None if the file is invalid."""
    try:
        columns = pl.read_csv(BytesIO(read_file(path, TABLE_BYTES)), columns=list(_COLUMNS), infer_schema=False)
    except (FileNotFoundError, BadJson, pl.exceptions.PolarsError):
        return None
    table = columns.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in _COLUMNS.items())
    sane = (pl.col("variational_energy").abs() <= 1e7) & (pl.col("iteration") >= 0) & (pl.col("determinants") >= 0)
    return table.filter(sane & pl.all_horizontal(pl.all().is_not_null())).head(MOST_ROWS)


def _figure(table: pl.DataFrame, total_energy: float | None) -> Figure:
    """Draw the energies in Hartree, and the determinants behind them."""
    # Imported here: it would slow down every start of the flow.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    # The Hartree-Fock energy is left out: it is so much higher that it would flatten the rest of the curve.
    table = table.filter(pl.col("iteration") > 0) if table.height > 2 else table
    energy = figure.subplots()
    step = table["iteration"].to_list()
    energy.plot(step, table["variational_energy"].to_list(), "o-", color="#1f5fa8", label="variational")
    if total_energy is not None:
        energy.axhline(total_energy, color="#c2410c", linestyle="--", label="with PT2")
    energy.set_xlabel("heat-bath iteration")
    energy.set_ylabel("energy (Hartree)")
    energy.ticklabel_format(axis="y", useOffset=False)
    energy.xaxis.set_major_locator(MaxNLocator(integer=True))
    energy.grid(alpha=0.3)
    determinants = energy.twinx()
    determinants.bar(step, table["determinants"].to_list(), color="#94a3b8", alpha=0.35, width=0.6)
    determinants.set_ylabel("determinants")
    determinants.set_zorder(0)
    energy.set_zorder(1)
    energy.patch.set_visible(False)
    energy.legend(loc="center right")
    energy.set_title(
        f"{table['determinants'][-1]:,} determinants, {table['variational_energy'][-1]:.8f} Ha variational"
    )
    return figure
