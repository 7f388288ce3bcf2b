"""The Hartree-Fock solutions that a calculation may start from: the first, and the lower or other ones near to it.

An SCF ends on a saddle point, or in a minimum that is not the lowest, for every fourth broken bond or transition-metal
atom. Followed are internal instabilities, and determinants of another occupation or irrep.
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
"""Hartree: solutions and determinants higher than the lowest by more are not looked at. Correlation changes an order by
less: the worst known, triplet B2 in 6-31G, by 0.05."""
MOST_KEPT = 4
_MOST_TRIED = 16
_SAME = 1e-6  # Hartree: as a rule the same solution, turned


@dataclass(frozen=True)
class Lower:
    """A determinant below a mean field's own, over its orbitals."""

    alpha: Orbitals  #: from 0, with an alpha electron
    beta: Orbitals
    irrep: str | None


@dataclass(frozen=True)
class Solution:
    """A converged mean field, how it was found, and whether it is a minimum."""

    hf: HartreeFock
    origin: Origin
    stability: Stability
    lower: Lower | None = None

    def told(
        self, pilot_energy: float | None, s_squared: float | None = None, first: FirstDeterminant | None = None
    ) -> ReportedSolution:
        """pilot_energy: Hartree, None without a pilot; s_squared: of the pilot. first: `lower` over the integral file's
        orbitals, if it starts from that."""
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
    """`first` with its stability, and up to three others within 0.1 Hartree of the lowest; lowest energy first.

    Files of the others are written to `folder`. A lower solution may be the worse start of a CI (for triplet B2 it is):
    none of them is the answer yet.
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
    """Orbitals and occupations that may lead to another solution."""
    for one in lowest_determinants(hf.mol, hf.mo_coeff, hf.mo_occ, hf.labels, max_memory_gib=max_memory_gib):
        if one.excitation < NEAR and (one.occupation != hf.mo_occ).any():
            yield hf.mo_coeff, one.occupation, "occupation"
    if rotated is not None:  # last: it breaks the symmetry, also on the way to a solution that has it
        yield rotated, hf.mo_occ, "instability"


def _in_words(hf: HartreeFock, stability: Stability) -> str:
    parts = [] if hf.irrep is None else [hf.irrep]
    for kind, value in (("internal", stability.internal), ("external", stability.external)):
        if value is not None:
            parts.append(f"{kind} stability {value:+.4f}")
    return "".join(f", {part}" for part in parts)
