"""Find the Hartree-Fock solutions that a calculation may start from: the first one, and lower or other ones nearby.

For about every fourth broken bond or transition-metal atom, an SCF ends on a saddle point, or in a minimum that is not
the lowest. Internal instabilities, and determinants with another occupation or irrep, are followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spotwave.node.jobs.shci.reference import FirstDeterminant, Origin, ReportedSolution, Stability
from spotwave.node.jobs.shci.scf.first_determinant import Orbitals, lowest_by_exchanges
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock, solution_from
from spotwave.node.jobs.shci.scf.mean_field import Array, irrep_name, with_symmetry
from spotwave.node.jobs.shci.scf.occupations import lowest_determinants
from spotwave.node.jobs.shci.scf.stability import analyse

NEAR = 0.1
"""Hartree: solutions and determinants this far above the lowest are ignored. Correlation changes the order by less: the
worst known case, triplet B2 in 6-31G, by 0.05."""
MOST_KEPT = 4
_MOST_TRIED = 16
_SAME = 1e-6  # Hartree: energies closer than this are usually of the same solution, rotated


@dataclass(frozen=True)
class Lower:
    """A determinant below a mean field's own, over its orbitals."""

    alpha: Orbitals  #: from 0, with an alpha electron
    beta: Orbitals
    irrep: str | None


@dataclass(frozen=True)
class Solution:
    """A converged mean field, its origin, and its stability."""

    hf: HartreeFock
    origin: Origin
    stability: Stability
    lower: Lower | None = None

    def report(
        self, pilot_energy: float | None, s_squared: float | None = None, first: FirstDeterminant | None = None
    ) -> ReportedSolution:
        """Return the report of this solution.

        pilot_energy: Hartree, None without a pilot; s_squared: of the pilot. first: `lower` over the integral file's
        orbitals, if the calculation starts from that.
        """
        return ReportedSolution(
            energy=self.hf.energy,
            irrep=self.hf.irrep if first is None or self.lower is None else self.lower.irrep,
            origin=self.origin,
            stability=self.stability,
            first_determinant=first,
            pilot_energy=pilot_energy,
            pilot_s_squared=s_squared,
        )


def find_solutions(
    first: HartreeFock, folder: Path, *, max_memory_gib: float, log: Callable[[str], None]
) -> list[Solution]:
    """Return `first` with its stability, and up to three others within 0.1 Hartree of the lowest; lowest energy first.

    Files of the others are written to `folder`. A lower solution may be the worse start of a CI, as for triplet B2, so
    the choice is made later, by pilots.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Solution] = []
    waiting: list[tuple[HartreeFock, Origin]] = [(first, "start")]
    energies = [first.energy]
    tried = 0
    while waiting:
        hf, origin = waiting.pop()
        stability, rotated = analyse(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=max_memory_gib)
        found.append(Solution(hf, origin, stability))
        log(f"{hf.method} {hf.energy:.8f} Hartree{_in_words(hf, stability)}")
        for coeff, occupation, source in _starts(hf, rotated, max_memory_gib):
            if tried >= _MOST_TRIED:
                break
            tried += 1
            path = folder / f"scf-{tried}.chk"
            other = solution_from(hf, coeff, occupation, path, max_memory_gib=max_memory_gib)
            if (
                other is None
                or other.energy > min(energies) + NEAR
                or min(abs(other.energy - energy) for energy in energies) < _SAME
            ):
                path.unlink(missing_ok=True)
                continue
            energies.append(other.energy)
            waiting.append((other, source))
    others = sorted(found[1:], key=lambda one: one.hf.energy)
    near = [one for one in others if one.hf.energy < min(energies) + NEAR][: MOST_KEPT - 1]
    kept = sorted([found[0], *near], key=lambda one: one.hf.energy)
    return [replace(one, lower=_lower(one.hf, max_memory_gib)) for one in kept]


def _lower(hf: HartreeFock, max_memory_gib: float) -> Lower | None:
    found = lowest_by_exchanges(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=max_memory_gib)
    if found is None:
        return None
    electrons = np.sum([np.isin(np.arange(len(hf.mo_occ)), one) for one in found], axis=0).astype(float)
    return Lower(*found, irrep_name(with_symmetry(hf.mol), hf.labels, electrons))


def _starts(hf: HartreeFock, rotated: Array | None, max_memory_gib: float) -> Iterator[tuple[Array, Array, Origin]]:
    """Yield orbitals and occupations that may lead to another solution."""
    for one in lowest_determinants(hf.mol, hf.mo_coeff, hf.mo_occ, hf.labels, max_memory_gib=max_memory_gib):
        if one.excitation < NEAR and (one.occupation != hf.mo_occ).any():
            yield hf.mo_coeff, one.occupation, "occupation"
    if rotated is not None:  # last, since it breaks the symmetry even of solutions that have it
        yield rotated, hf.mo_occ, "instability"


def _in_words(hf: HartreeFock, stability: Stability) -> str:
    parts = [] if hf.irrep is None else [hf.irrep]
    for kind, value in (("internal", stability.internal), ("external", stability.external)):
        if value is not None:
            parts.append(f"{kind} stability {value:+.4f}")
    return "".join(f", {part}" for part in parts)
