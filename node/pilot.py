"""Which Hartree-Fock solution and determinant to start from: a cheap SHCI of each decides, not its own energy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from node.fcidump import write_fcidump
from node.first_determinant import LOWER
from node.hartree_fock import HartreeFock
from node.own_files import remove_tree
from node.programs.base import Program, ProgramFailed, SolverTask
from node.programs.pyci import PyCI
from node.programs.pyscf_ci import PySCF
from node.programs.run import solve
from node.reference_told import FirstDeterminant, Reference
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
    starts_anywhere: bool,
    log: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> tuple[HartreeFock, Reference]:
    """The start whose SHCI at a loose threshold has the lowest total energy, and what to tell of it; a single one
    without any run.

    task: of the calculation itself; `folder` is for the pilots' files, and is removed. starts_anywhere: of the
    calculation's program (node.programs.base). Raises as `solve` does.
    """
    starts = [list(_starts(solution, frozen, starts_anywhere)) for solution in solutions]
    if sum(map(len, starts)) == 1:
        return solutions[0].hf, _told([(None, starts[0][0])])
    eps1 = min(0.1, max(_FACTOR * task.eps1, _SMALLEST))
    found: list[tuple[float | None, _Start]] = []
    for number, of_one in enumerate(starts):
        hf = of_one[0].solution.hf
        dump = folder / f"pilots-{number}" / "FCIDUMP"
        proof = write_fcidump(hf, dump, frozen=frozen, orbsym=True, max_memory_gib=task.memory_gib)
        for start in of_one:
            own = dump.parent / ("hartree-fock" if start.first is None else "lower")
            pilot = replace(
                task,
                fcidump=dump,
                output=own / "output",
                checkpoint=own / "checkpoint",
                log=own / "pilot.log",
                eps1=eps1,
                eps2=eps1 / _EPS2,
                n_orbitals=proof.n_orbitals,
                command=None,
                first_determinant=occupied(start.first),
            )
            energy, told = _energy(pilot, should_stop)
            of = "" if start.first is None else "a lower determinant of "
            log(
                f"pilot SHCI, eps1 {eps1:g}, from {of}{hf.method} {hf.energy:.6f} Hartree "
                f"({start.solution.origin}): {told}"
            )
            found.append((energy, start))
        remove_tree(dump.parent)
    found.sort(key=_rank)
    return found[0][1].solution.hf, _told(found)


@dataclass(frozen=True)
class _Start:
    solution: Solution
    first: FirstDeterminant | None  #: None: the Hartree-Fock determinant
    untried: bool = False  #: there is a lower determinant, and the program cannot start from it


def _starts(solution: Solution, frozen: int, starts_anywhere: bool) -> Iterator[_Start]:
    """From a solution: its own determinant, and the lower one if there is one over the correlated orbitals."""
    first = None
    spins = () if solution.lower is None else (solution.lower.alpha, solution.lower.beta)
    if spins and all(set(range(frozen)) <= set(orbitals) for orbitals in spins):
        alpha, beta = (tuple(orbital - frozen for orbital in orbitals[frozen:]) for orbitals in spins)
        first = FirstDeterminant(alpha=alpha, beta=beta)
    yield _Start(solution, None, untried=first is not None and not starts_anywhere)
    if first is not None and starts_anywhere:
        yield _Start(solution, first)


def occupied(first: FirstDeterminant | None) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """As a SolverTask has it."""
    return None if first is None else (first.alpha, first.beta)


def _energy(pilot: SolverTask, should_stop: Callable[[], bool]) -> tuple[float | None, str]:
    """Its total energy (Hartree), None where the calculation itself fails; and what to say."""
    try:
        energies = solve(pilot_program(), pilot, on_line=_quiet, on_iteration=lambda _: None, should_stop=should_stop)
    except ProgramFailed as error:
        if error.cause is not None:  # the machine's, not this solution's
            raise
        return None, error.summary
    return energies.total_energy, f"{energies.total_energy:.6f} Hartree"


def _rank(pair: tuple[float | None, _Start]) -> tuple[bool, float, int]:
    """Lowest pilot first; of equal ones, which are turned into each other, that with the molecule's symmetry. A
    determinant that is not Hartree-Fock's mixes spins, so it has to be worth it."""
    energy, start = pair
    handicap = 0.0 if start.first is None else LOWER
    return energy is None, round((energy or 0.0) + handicap, 5), _ORIGINS.index(start.solution.origin)


def _told(found: Sequence[tuple[float | None, _Start]]) -> Reference:
    """The first is kept."""
    (energy, kept), *others = found
    told = kept.solution.told(energy, kept.first)
    return Reference(
        **dict(told),
        others=tuple(one.solution.told(pilot, one.first) for pilot, one in others),
        note=_note(kept, [one.solution for _, one in others]),
    )


def _note(start: _Start, others: Sequence[Solution]) -> str:
    """What a user should know of the reference; empty where there is nothing to be said."""
    hf, stability = start.solution.hf, start.solution.stability
    parts = []
    if others:
        energies = {round(one.energy, 6) for one in (hf, *(other.hf for other in others))}
        lower = min(energies) < round(hf.energy, 6)
        parts.append(
            f"{len(others) + 1} starts from {len(energies)} {hf.method} solutions were tried in pilot calculations; "
            f"the solution at {hf.energy:.6f} Hartree was kept."
            + (f" One at {min(energies):.6f} is lower, and leads to a higher SHCI energy." if lower else "")
        )
    if start.first is not None:
        parts.append(
            "The SHCI starts from a lower determinant over its orbitals, with open shells of opposite spins "
            "(reference.first_determinant)."
        )
    if start.untried:
        parts.append(
            "A determinant over its orbitals with open shells of opposite spins is lower; the program starts from the "
            "first orbitals of the integral file, and may end in a higher state. The program 'pyci' can start from it."
        )
    if not is_minimum(stability):
        parts.append(
            f"It is no minimum: the lowest eigenvalue of its orbital Hessian is {stability.internal:.4f} Hartree."
        )
    filled, empty = hf.mo_energy[hf.mo_occ > 0], hf.mo_energy[hf.mo_occ == 0]
    if hf.mol.spin == 0 and len(empty) and filled.max() > empty.min():
        parts.append("An occupied orbital lies above an empty one.")
    return " ".join(parts)


def _quiet(_: str) -> None:
    """The pilots' lines are nobody's concern; its energies are told."""
