"""Which Hartree-Fock solution to start from: a cheap SHCI of each decides, not the Hartree-Fock energy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from node.fcidump import write_fcidump
from node.hartree_fock import HartreeFock
from node.own_files import remove_tree
from node.programs.base import Program, ProgramFailed, SolverTask
from node.programs.pyci import PyCI
from node.programs.pyscf_ci import PySCF
from node.programs.run import solve
from node.reference_told import Reference
from node.solutions import Solution
from node.stability import is_minimum

_FACTOR = 4.0  # of eps1
_EPS2 = 20.0  # eps1 over eps2 of a pilot: its correction takes most of its time
_ORIGINS = ("start", "occupation", "instability")
_SMALLEST = 2e-3  # Hartree; eps1 of a pilot is not below: some thousand determinants of a small molecule


def pilot_program() -> Program:
    """PyCI where it has a wheel, whatever program the calculation itself is for: it is with us, and tells energies."""
    return PyCI() if sys.platform == "linux" else PySCF()


def choose(
    solutions: Sequence[Solution],
    task: SolverTask,
    folder: Path,
    *,
    frozen: int,
    log: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> tuple[HartreeFock, Reference]:
    """The solution whose SHCI at a loose threshold has the lowest total energy, and what to tell of it; a single one
    without any run.

    task: of the calculation itself; `folder` is for the pilots' files, and is removed. Raises as `solve` does.
    """
    if len(solutions) == 1:
        return solutions[0].hf, _told([(None, solutions[0])])
    eps1 = min(0.1, max(_FACTOR * task.eps1, _SMALLEST))
    found: list[tuple[float | None, Solution]] = []
    for number, solution in enumerate(solutions):
        own = folder / f"pilot-{number}"
        proof = write_fcidump(solution.hf, own / "FCIDUMP", frozen=frozen, orbsym=True, max_memory_gib=task.memory_gib)
        pilot = replace(
            task,
            fcidump=own / "FCIDUMP",
            output=own / "output",
            checkpoint=own / "checkpoint",
            log=own / "pilot.log",
            eps1=eps1,
            eps2=eps1 / _EPS2,
            n_orbitals=proof.n_orbitals,
            command=None,
        )
        energy, told = _energy(pilot, should_stop)
        remove_tree(own)
        start = f"{solution.hf.method} {solution.hf.energy:.6f} Hartree ({solution.origin})"
        log(f"pilot SHCI, eps1 {eps1:g}, from {start}: {told}")
        found.append((energy, solution))
    found.sort(key=_rank)
    return found[0][1].hf, _told(found)


def _energy(pilot: SolverTask, should_stop: Callable[[], bool]) -> tuple[float | None, str]:
    """Its total energy (Hartree), None where the calculation itself fails; and what to say."""
    try:
        energies = solve(pilot_program(), pilot, on_line=_quiet, on_iteration=lambda _: None, should_stop=should_stop)
    except ProgramFailed as error:
        if error.cause is not None:  # the machine's, not this solution's
            raise
        return None, error.summary
    return energies.total_energy, f"{energies.total_energy:.6f} Hartree"


def _rank(pair: tuple[float | None, Solution]) -> tuple[bool, float, int]:
    """Lowest pilot first; of equal ones, which are turned into each other, that with the molecule's symmetry."""
    energy, solution = pair
    return energy is None, round(energy or 0.0, 5), _ORIGINS.index(solution.origin)


def _told(found: Sequence[tuple[float | None, Solution]]) -> Reference:
    """The first is kept."""
    (energy, kept), *others = found
    told = kept.told(energy)
    return Reference(
        **dict(told),
        others=tuple(one.told(pilot) for pilot, one in others),
        note=_note(kept, [one for _, one in others]),
    )


def _note(kept: Solution, others: Sequence[Solution]) -> str:
    """What a user should know of the reference; empty where there is nothing to be said."""
    hf = kept.hf
    parts = []
    if others:
        lowest = min(one.hf.energy for one in others)
        lower = f" One at {lowest:.6f} is lower, and leads to a higher SHCI energy." if lowest < hf.energy else ""
        parts.append(
            f"{len(others) + 1} {hf.method} solutions were tried in pilot calculations; the one at {hf.energy:.6f} "
            f"Hartree was kept.{lower}"
        )
    if not is_minimum(kept.stability):
        parts.append(
            f"It is no minimum: the lowest eigenvalue of its orbital Hessian is {kept.stability.internal:.4f} Hartree."
        )
    occupied, empty = hf.mo_energy[hf.mo_occ > 0], hf.mo_energy[hf.mo_occ == 0]
    if hf.mol.spin == 0 and len(empty) and occupied.max() > empty.min():
        parts.append("An occupied orbital lies above an empty one.")
    return " ".join(parts)


def _quiet(_: str) -> None:
    """The pilots' lines are nobody's concern; its energies are told."""
