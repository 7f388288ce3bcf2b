"""Restricted Hartree-Fock (RHF or ROHF), the basis of all later steps, stored in a PySCF checkpoint file.

A resumed attempt does not repeat it, but verifies with one Fock build that the file belongs to the calculation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import gto, lib, scf

from spotwave.node.jobs.shci.calculation import Calculation, build_molecule
from spotwave.node.jobs.shci.scf.chkfile import read_molecule, read_orbitals
from spotwave.node.jobs.shci.scf.mean_field import (
    Array,
    irrep_name,
    irreps,
    mean_field,
    method,
    second_order,
    with_symmetry,
)
from spotwave.node.jobs.shci.scf.orbitals import by_irrep, in_order

ENERGY_TOLERANCE = 1e-9  #: Hartree; allowed difference of a stored energy and that of its own orbitals
_STORED_GRADIENT = 2e-4  # Brillouin's theorem, for orbitals converged on another kind of processor
_MAX_CYCLES = 100


class ScfNotConverged(RuntimeError):
    """Neither the usual nor the second-order iterations converged; the message says what to try."""


class DifferentCalculation(RuntimeError):
    """A checkpoint is inconsistent or belongs to another calculation; the message gives the difference."""


@dataclass(frozen=True)
class HartreeFock:
    """A converged restricted (RHF, or ROHF with unpaired electrons) mean field; energies in Hartree."""

    mol: gto.Mole
    mo_coeff: Array  #: (AO, MO)
    mo_energy: Array  #: (MO,)
    mo_occ: Array  #: (MO,): 2, 1 or 0
    energy: float  #: total, with the nuclear repulsion
    nuclear_repulsion: float
    seconds: float
    chkfile: Path
    second_order: bool = False  #: whether the second-order iterations were needed
    labels: NDArray[np.int64] | None = None  #: (MO,), irreps in PySCF's numbering; None without symmetry
    irrep: str | None = None  #: of the determinant, e.g. B1g

    @property
    def method(self) -> str:
        """RHF or ROHF."""
        return method(self.mol)


def run_hartree_fock(
    calculation: Calculation,
    chkfile: Path,
    *,
    max_memory_gib: float,
    log: Callable[[str], None],
    max_cycles: int = _MAX_CYCLES,
) -> HartreeFock:
    """Converge RHF (spin 0) or ROHF within `max_cycles`. `chkfile` exists only after convergence.

    Raises InputError for an unreadable geometry, ScfNotConverged if second-order iterations fail too.
    """
    started = time.perf_counter()
    mol = build_molecule(calculation)
    chkfile.parent.mkdir(parents=True, exist_ok=True)
    working = chkfile.with_name(f".{chkfile.name}.part")
    working.unlink(missing_ok=True)
    symmetric = with_symmetry(mol)
    field = mean_field(symmetric, max_memory_gib)
    field.max_cycle = max_cycles
    field.chkfile = str(working)
    field.callback = _Cycles(log, started)
    group = symmetric.topgroup if symmetric.symmetry else "C1"
    log(f"{method(mol)}: {mol.nao_nr()} orbitals, {mol.nelectron} electrons, spin {mol.spin}, point group {group}")
    field.kernel()
    again = not field.converged
    if again:
        log("not converged; second-order iterations from the last orbitals")
        field = second_order(
            field, field.mo_coeff, field.mo_occ, max_cycles=max_cycles, chkfile=working, callback=_Cycles(log, started)
        )
    if not field.converged:
        working.unlink(missing_ok=True)
        raise ScfNotConverged(
            f"Hartree-Fock did not converge, the last energy is {field.e_tot:.6f} Hartree. Check geometry (Angstrom), "
            "charge and spin; try a smaller basis without diffuse functions first"
        )
    found = _kept(field, mol, symmetric, chkfile, started, second_order=again)
    log(f"converged: {found.energy:.10f} Hartree in {found.seconds:.1f} s")
    return found


def solution_from(
    hf: HartreeFock, coeff: Array, occupation: Array, chkfile: Path, *, max_memory_gib: float
) -> HartreeFock | None:
    """Find another solution of the same kind by second-order iterations, without imposing the molecule's symmetry.

    coeff: start orbitals (AO, MO). occupation: (MO,). Return None if they do not converge; else `chkfile` holds it.
    """
    started = time.perf_counter()
    field = second_order(mean_field(hf.mol, max_memory_gib), coeff, occupation, max_cycles=_MAX_CYCLES)
    if not field.converged:
        return None
    return _kept(field, hf.mol, with_symmetry(hf.mol), chkfile, started, second_order=True)


def _kept(
    field: Any, mol: gto.Mole, symmetric: gto.Mole, chkfile: Path, started: float, *, second_order: bool
) -> HartreeFock:
    """Store the converged field with ordered orbitals in `chkfile`."""
    coeff, energy, occupation = (np.asarray(each) for each in (field.mo_coeff, field.mo_energy, field.mo_occ))
    labels = irreps(symmetric, coeff)
    if labels is None and symmetric.symmetry:
        coeff = by_irrep(coeff, energy, occupation, symmetric.symm_orb, field.get_ovlp())
        labels = irreps(symmetric, coeff)
    none = np.zeros(len(energy), dtype=np.int64)
    found = in_order(coeff, energy, occupation, none if labels is None else labels, field.get_ovlp())
    labels = irreps(symmetric, found.coeff)
    working = chkfile.with_name(f".{chkfile.name}.part")
    scf.chkfile.dump_scf(
        mol, str(working), field.e_tot, found.energy, found.coeff, found.occupation, overwrite_mol=True
    )
    working.replace(chkfile)
    return HartreeFock(
        mol=mol,
        mo_coeff=found.coeff,
        mo_energy=found.energy,
        mo_occ=found.occupation,
        energy=float(field.e_tot),
        nuclear_repulsion=float(mol.energy_nuc()),
        seconds=time.perf_counter() - started,
        chkfile=chkfile,
        second_order=second_order,
        labels=labels,
        irrep=irrep_name(symmetric, labels, found.occupation),
    )


def load_hartree_fock(calculation: Calculation, chkfile: Path, *, max_memory_gib: float = 4.0) -> HartreeFock:
    """Load the mean field of an earlier attempt after verifying that it belongs to this calculation.

    Compared are: atoms, coordinates (1e-10 Bohr), basis functions and their kind, charge, spin; orthonormality, order
    and occupation of the orbitals; their energy from one Fock build, to 1e-9 Hartree; and that they are Hartree-Fock
    orbitals (the occupied-virtual block of the Fock matrix vanishes). Raises DifferentCalculation.
    """
    started = time.perf_counter()
    mol = build_molecule(calculation)
    try:
        _same_molecule(read_molecule(chkfile), mol, chkfile.name)
        stored = read_orbitals(chkfile, int(mol.nao_nr()))
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise DifferentCalculation(f"{chkfile.name} is not a readable SCF checkpoint: {error}") from error
    coeff, occupation, energy = stored.mo_coeff, stored.mo_occ, stored.e_tot
    if (np.count_nonzero(occupation > 0), np.count_nonzero(occupation > 1)) != tuple(mol.nelec):
        raise DifferentCalculation(f"{chkfile.name}: the orbitals hold a different number of electrons")
    if np.any(np.diff(occupation) > 0):
        raise DifferentCalculation(f"{chkfile.name}: the orbitals are not ordered by occupation")
    recomputed, deviation, gradient = _proof_of(mol, coeff, occupation, max_memory_gib)
    if deviation > 1e-8:
        raise DifferentCalculation(f"{chkfile.name}: the orbitals deviate from orthonormality by {deviation:.1e}")
    if not abs(recomputed - energy) < ENERGY_TOLERANCE:
        raise DifferentCalculation(
            f"{chkfile.name}: its orbitals have the energy {recomputed:.10f} Hartree, but it states {energy:.10f}"
        )
    if not gradient < _STORED_GRADIENT:
        raise DifferentCalculation(
            f"{chkfile.name}: its orbitals are not Hartree-Fock orbitals, their gradient is {gradient:.1e}"
        )
    symmetric = with_symmetry(mol)
    labels = irreps(symmetric, coeff)
    return HartreeFock(
        mol=mol,
        mo_coeff=coeff,
        mo_energy=stored.mo_energy,
        mo_occ=occupation,
        energy=energy,
        nuclear_repulsion=float(mol.energy_nuc()),
        seconds=time.perf_counter() - started,
        chkfile=chkfile,
        labels=labels,
        irrep=irrep_name(symmetric, labels, occupation),
    )


class _Cycles:
    """Callback of PySCF after every cycle."""

    def __init__(self, log: Callable[[str], None], started: float) -> None:
        self._log = log
        self._started = started

    def __call__(self, envs: dict[str, Any]) -> None:
        cycle, energy = envs.get("cycle", envs.get("imacro")), envs.get("e_tot")
        if cycle is not None and energy is not None:
            change = energy - envs.get("last_hf_e", energy)
            seconds = time.perf_counter() - self._started
            self._log(f"cycle {cycle + 1:3d}  {energy:.10f} Hartree  change {change:+.1e}  {seconds:.1f} s")


def _same_molecule(stored: gto.Mole, mol: gto.Mole, name: str) -> None:
    for what, there, here in (
        ("charge", stored.charge, mol.charge),
        ("spin", stored.spin, mol.spin),
        ("functions", _functions(stored), _functions(mol)),
        ("atoms", _symbols(stored), _symbols(mol)),
    ):
        if there != here:
            raise DifferentCalculation(f"{name} has {what} {there}, but the calculation has {here}")
    moved = float(np.abs(stored.atom_coords() - mol.atom_coords()).max())
    if not moved < 1e-10:
        raise DifferentCalculation(f"{name} has another geometry: an atom is {moved:.2e} Bohr away")
    # AO labels identify the functions, and exponents are compared too, since basis sets may differ only in numbers.
    if stored.ao_labels() != mol.ao_labels() or not _same_exponents(stored, mol):
        raise DifferentCalculation(f"{name} has other basis functions ({stored.nao_nr()}, not {mol.nao_nr()})")


def _functions(mol: gto.Mole) -> str:
    return "cartesian" if mol.cart else "spherical"


def _symbols(mol: gto.Mole) -> list[str]:
    return [mol.atom_symbol(i) for i in range(mol.natm)]


def _same_exponents(stored: gto.Mole, mol: gto.Mole) -> bool:
    if stored.nbas != mol.nbas:
        return False
    return all(
        np.array_equal(stored.bas_exp(i), mol.bas_exp(i))
        and np.allclose(stored.bas_ctr_coeff(i), mol.bas_ctr_coeff(i), rtol=1e-12, atol=0)
        for i in range(mol.nbas)
    )


def _proof_of(mol: gto.Mole, coeff: Array, occupation: Array, max_memory_gib: float) -> tuple[float, float, float]:
    """Return results of one Fock build: energy (Hartree), deviation from orthonormality, norm of the orbital gradient.

    The gradient (Hartree) vanishes only for Hartree-Fock orbitals.
    """
    field = mean_field(mol, max_memory_gib)
    overlap, core = field.get_ovlp(), field.get_hcore()
    deviation = float(np.abs(coeff.T @ overlap @ coeff - np.eye(coeff.shape[1])).max())
    density = field.make_rdm1(lib.tag_array(coeff), occupation)
    potential = field.get_veff(mol, density)
    energy = float(field.energy_tot(dm=density, h1e=core, vhf=potential))
    fock = field.get_fock(core, overlap, potential, density)
    gradient = np.asarray(field.get_grad(coeff, occupation, fock))
    return energy, deviation, float(np.linalg.norm(gradient))
