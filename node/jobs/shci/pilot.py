"""Choose the Hartree-Fock solution and determinant to start from, by a cheap pilot SHCI calculation of each."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.programs.base import Program, SolverTask
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.pyscf_ci import PySCF
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.reference import FirstDeterminant, Reference
from spotwave.node.jobs.shci.scf.first_determinant import LOWER
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock
from spotwave.node.jobs.shci.scf.solutions import Solution
from spotwave.node.jobs.shci.scf.stability import is_minimum
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.untrusted.own_files import remove_tree

_FACTOR = 4.0  # eps1 of a pilot over that of the calculation
_EPS2 = 20.0  # eps1 over eps2 of a pilot: its correction takes most of its time
_ORIGINS = ("start", "occupation", "instability")
_PURE = 0.25  # tolerance in <S^2>
_SMALLEST = 2e-3  # Hartree; smallest eps1 of a pilot: some thousand determinants of a small molecule


def pilot_program() -> Program:
    """Return PyCI if it has a wheel, else PySCF, whatever the calculation's program: both come with Spotwave."""
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
    """Return the start whose SHCI at a loose threshold has the lowest total energy, and a report of the choice.

    A single start is returned without a pilot. task: of the calculation itself. folder: for the pilots' files, which
    are removed. starts_anywhere: of the calculation's program (node.jobs.shci.programs.base). Raises as `solve` does.
    """
    starts = [list(_starts(solution, frozen, starts_anywhere)) for solution in solutions]
    if sum(map(len, starts)) == 1:
        return solutions[0].hf, _report([_Tried(starts[0][0])], task.spin)
    eps1 = min(0.1, max(_FACTOR * task.eps1, _SMALLEST))
    found: list[_Tried] = []
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
            tried, result = _tried(start, pilot, should_stop)
            of = "" if start.first is None else "a lower determinant of "
            log(
                f"pilot SHCI, eps1 {eps1:g}, from {of}{hf.method} {hf.energy:.6f} Hartree "
                f"({start.solution.origin}): {result}"
            )
            found.append(tried)
        remove_tree(dump.parent)
    found.sort(key=lambda one: _rank(one, task.spin))
    return found[0].start.solution.hf, _report(found, task.spin)


@dataclass(frozen=True)
class _Start:
    solution: Solution
    first: FirstDeterminant | None  #: None: the Hartree-Fock determinant
    untried: bool = False  #: a lower determinant exists, but the program cannot start from it


@dataclass(frozen=True)
class _Tried:
    start: _Start
    energy: float | None = None  #: total, Hartree; None without a pilot, or if it failed
    s_squared: float | None = None

    def leads_to_another_spin(self, spin: int) -> bool:
        """Return whether the pilot of a spin-mixing start ended in a state of one other spin, or of unknown spin.

        Such a state is no answer: the triplet of a carbon atom is not the singlet. A mixture of several spins is
        accepted, since it solves the Hamiltonian only if these spins have equal energies, as when a bond is broken.
        Starts from Hartree-Fock's own determinant are never excluded: for N2 at 4 Angstrom the one of the right spin is
        an excited state.
        """
        if self.start.first is None:
            return False
        if self.s_squared is None:
            return True
        more = round((math.sqrt(1 + 4 * max(self.s_squared, 0.0)) - 1 - spin) / 2)  # of <S^2> = S (S + 1)
        other = spin / 2 + more
        return more > 0 and abs(self.s_squared - other * (other + 1)) < _PURE


def _starts(solution: Solution, frozen: int, starts_anywhere: bool) -> Iterator[_Start]:
    """Yield a solution's own determinant, and the lower one if it exists over the correlated orbitals."""
    first = None
    spins = () if solution.lower is None else (solution.lower.alpha, solution.lower.beta)
    if spins and all(set(range(frozen)) <= set(orbitals) for orbitals in spins):
        alpha, beta = (tuple(orbital - frozen for orbital in orbitals[frozen:]) for orbitals in spins)
        first = FirstDeterminant(alpha=alpha, beta=beta)
    yield _Start(solution, None, untried=first is not None and not starts_anywhere)
    if first is not None and starts_anywhere:
        yield _Start(solution, first)


def occupied(first: FirstDeterminant | None) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the determinant in the format of `SolverTask`."""
    return None if first is None else (first.alpha, first.beta)


def _tried(start: _Start, pilot: SolverTask, should_stop: Callable[[], bool]) -> tuple[_Tried, str]:
    """Run a pilot. Return its result, and a description for the log."""
    try:
        energies = solve(pilot_program(), pilot, on_line=_quiet, on_iteration=lambda _: None, should_stop=should_stop)
    except ProgramFailed as error:
        if error.cause is not None:  # the machine's fault, not the solution's
            raise
        return _Tried(start), error.summary
    square = energies.s_squared
    result = f"{energies.total_energy:.6f} Hartree" + ("" if square is None else f", <S^2> {square:.3f}")
    return _Tried(start, energies.total_energy, square), result


def _rank(tried: _Tried, spin: int) -> tuple[bool, float, int]:
    """Return the sort key: lowest pilot energy first; of equal (rotated) solutions the one with molecular symmetry.

    A determinant other than Hartree-Fock's mixes spins, so it must be lower by a margin.
    """
    handicap = 0.0 if tried.start.first is None else LOWER
    last = tried.energy is None or tried.leads_to_another_spin(spin)
    return last, round((tried.energy or 0.0) + handicap, 5), _ORIGINS.index(tried.start.solution.origin)


def _report(found: Sequence[_Tried], spin: int) -> Reference:
    """Return the report of all starts, of which the first is kept."""
    kept, *others = found
    reported = kept.start.solution.report(kept.energy, kept.s_squared, kept.start.first)
    return Reference(
        **dict(reported),
        others=tuple(one.start.solution.report(one.energy, one.s_squared, one.start.first) for one in others),
        note=_note(kept, others, spin),
    )


def _note(kept: _Tried, others: Sequence[_Tried], spin: int) -> str:
    """Return what a user should know about the reference; empty if there is nothing."""
    start = kept.start
    hf, stability = start.solution.hf, start.solution.stability
    parts = []
    if others:
        energies = {round(one.energy, 6) for one in (hf, *(other.start.solution.hf for other in others))}
        lower = min(energies) < round(hf.energy, 6)
        parts.append(
            f"{len(others) + 1} starts from {len(energies)} {hf.method} solutions were tried in pilot calculations; "
            f"the solution at {hf.energy:.6f} Hartree was kept."
            + (f" One at {min(energies):.6f} is lower, but leads to a higher SHCI energy." if lower else "")
        )
    if start.first is not None:
        parts.append(
            "The SHCI starts from a lower determinant over its orbitals, with open shells of opposite spins "
            "(reference.first_determinant)."
        )
    known = [one for one in others if one.energy is not None and one.s_squared is not None]
    spins = [one.energy for one in known if one.energy is not None and one.leads_to_another_spin(spin)]
    if spins and kept.energy is not None and min(spins) < kept.energy:
        parts.append(
            f"A state of another spin lies lower: its pilot ended at {min(spins):.6f} Hartree, the reference's at "
            f"{kept.energy:.6f}."
        )
    if start.untried:
        parts.append(
            "A determinant over its orbitals with open shells of opposite spins is lower. The program starts from the "
            "first orbitals of the integral file and may end in a higher state. The program 'pyci' can start from it."
        )
    if not is_minimum(stability):
        parts.append(
            f"It is not a minimum: the lowest eigenvalue of its orbital Hessian is {stability.internal:.4f} Hartree."
        )
    filled, empty = hf.mo_energy[hf.mo_occ > 0], hf.mo_energy[hf.mo_occ == 0]
    if hf.mol.spin == 0 and len(empty) and filled.max() > empty.min():
        parts.append("An occupied orbital lies above an empty one.")
    return " ".join(parts)


def _quiet(_: str) -> None:
    """Ignore the pilots' output; only their energies are reported."""
