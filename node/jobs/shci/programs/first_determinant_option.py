"""Command-line option of the bundled CI programs for their first determinant: --first 0,1,2:0,1,5"""

from __future__ import annotations

import argparse

from spotwave.node.jobs.shci.programs.base import SolverTask

Orbitals = tuple[int, ...]


def first_determinant_options(task: SolverTask) -> list[str]:
    return ["--first", ":".join(",".join(map(str, orbitals)) for orbitals in task.occupied)]


def add_first_determinant(parser: argparse.ArgumentParser) -> None:
    """Add the option `first`: orbitals, from 0, with an alpha and with a beta electron."""
    parser.add_argument(
        "--first", type=_orbitals, required=True, help="orbitals (from 0) with an alpha and a beta electron, 0,1:0,1"
    )


def _orbitals(text: str) -> tuple[Orbitals, Orbitals]:
    alpha, beta = (tuple(int(word) for word in part.split(",") if word) for part in text.split(":"))
    return alpha, beta
