"""The determinant that our own CI programs start from, as an option of theirs: --first 0,1,2:0,1,5"""

from __future__ import annotations

import argparse

from node.programs.base import SolverTask

Orbitals = tuple[int, ...]


def first_determinant_options(task: SolverTask) -> list[str]:
    """Nothing where it is the determinant of the first orbitals."""
    if task.first_determinant is None:
        return []
    return ["--first", ":".join(",".join(map(str, orbitals)) for orbitals in task.first_determinant)]


def add_first_determinant(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--first", type=_orbitals, help="orbitals (from 0) with an alpha and a beta electron, 0,1:0,1")


def first_determinant(options: argparse.Namespace) -> tuple[Orbitals, Orbitals]:
    """Orbitals, from 0, with an alpha and with a beta electron."""
    if options.first is not None:
        alpha, beta = options.first
        return alpha, beta
    return (
        tuple(range((options.electrons + options.spin) // 2)),
        tuple(range((options.electrons - options.spin) // 2)),
    )


def _orbitals(text: str) -> tuple[Orbitals, Orbitals]:
    alpha, beta = (tuple(int(word) for word in part.split(",") if word) for part in text.split(":"))
    return alpha, beta
