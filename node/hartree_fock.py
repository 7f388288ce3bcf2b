"""The self-consistent field that everything else stands on: computed once, kept in a PySCF checkpoint file.

A resumed attempt does not repeat it; it proves by one Fock build that the file belongs to the calculation.
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

from node.calculation import Calculation, build_molecule
from node.scf_file import read_molecule, read_orbitals

Array = NDArray[np.float64]

ENERGY_TOLERANCE = 1e-9  #: Hartree; what a stored energy may differ from the one of its own orbitals
_CONVERGENCE = 1e-11  # Hartree per cycle: the stored energy must be reproduced to 1e-9 from its orbitals
_GRADIENT = 1e-7
_SECOND_ORDER_GRADIENT = 1e-6
_MIB_PER_GIB = 1024


class ScfNotConverged(RuntimeError):
    """Neither the usual iterations nor the second-order ones converged; the message says what to try."""


class DifferentCalculation(RuntimeError):
    """A checkpoint that belongs to another calculation, or does not hold together; the message says what differs."""


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


def run_hartree_fock(
    calculation: Calculation,
    chkfile: Path,
    *,
    max_memory_gib: float,
    log: Callable[[str], None],
    max_cycles: int = 100,
) -> HartreeFock:
    """Converge RHF (spin 0) or ROHF within `max_cycles`; `chkfile` exists only when converged.

    Raises BadInput for an unreadable geometry and ScfNotConverged, after one second-order try.
    """
    started = time.perf_counter()
    mol = build_molecule(calculation)
    chkfile.parent.mkdir(parents=True, exist_ok=True)
    working = chkfile.with_name(f".{chkfile.name}.part")
    working.unlink(missing_ok=True)
    field = _mean_field(mol, max_memory_gib)
    field.max_cycle = max_cycles
    field.chkfile = str(working)
    field.callback = _Cycles(log, started)
    log(f"{type(field).__name__}: {mol.nao_nr()} orbitals, {mol.nelectron} electrons, spin {mol.spin}")
    field.kernel()
    second_order = not field.converged
    if second_order:
        log("not converged; second-order iterations from the last orbitals")
        field = _second_order(field, working, log, started)
    if not field.converged:
        working.unlink(missing_ok=True)
        raise ScfNotConverged(
            f"Hartree-Fock did not converge, the last energy is {field.e_tot:.6f} Hartree. Check geometry (Angstrom), "
            "charge and spin; try a smaller basis without diffuse functions first"
        )
    mo_coeff = _with_fixed_signs(np.asarray(field.mo_coeff))
    scf.chkfile.dump_scf(mol, str(working), field.e_tot, field.mo_energy, mo_coeff, field.mo_occ, overwrite_mol=True)
    working.replace(chkfile)
    seconds = time.perf_counter() - started
    log(f"converged: {field.e_tot:.10f} Hartree in {seconds:.1f} s")
    return HartreeFock(
        mol=mol,
        mo_coeff=mo_coeff,
        mo_energy=np.asarray(field.mo_energy),
        mo_occ=np.asarray(field.mo_occ),
        energy=float(field.e_tot),
        nuclear_repulsion=float(mol.energy_nuc()),
        seconds=seconds,
        chkfile=chkfile,
        second_order=second_order,
    )


def load_hartree_fock(calculation: Calculation, chkfile: Path, *, max_memory_gib: float = 4.0) -> HartreeFock:
    """The mean field of an earlier attempt, after the proof that it is of this calculation.

    Compared: atoms, coordinates (1e-10 Bohr), basis functions, charge, spin; orthonormal orbitals with the right
    occupation; and the energy of one Fock build from them, to 1e-9 Hartree. Raises DifferentCalculation.
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
        raise DifferentCalculation(f"{chkfile.name}: the orbitals are occupied by other numbers of electrons")
    recomputed, deviation = _energy_of(mol, coeff, occupation, max_memory_gib)
    if deviation > 1e-8:
        raise DifferentCalculation(f"{chkfile.name}: the orbitals are not orthonormal, by {deviation:.1e}")
    if not abs(recomputed - energy) < ENERGY_TOLERANCE:
        raise DifferentCalculation(
            f"{chkfile.name}: its orbitals have the energy {recomputed:.10f} Hartree, it says {energy:.10f}"
        )
    return HartreeFock(
        mol=mol,
        mo_coeff=coeff,
        mo_energy=stored.mo_energy,
        mo_occ=occupation,
        energy=energy,
        nuclear_repulsion=float(mol.energy_nuc()),
        seconds=time.perf_counter() - started,
        chkfile=chkfile,
    )


class _Cycles:
    """PySCF calls it after every cycle."""

    def __init__(self, log: Callable[[str], None], started: float) -> None:
        self._log = log
        self._started = started

    def __call__(self, envs: dict[str, Any]) -> None:
        cycle, energy = envs.get("cycle", envs.get("imacro")), envs.get("e_tot")
        if cycle is not None and energy is not None:
            change = energy - envs.get("last_hf_e", energy)
            seconds = time.perf_counter() - self._started
            self._log(f"cycle {cycle + 1:3d}  {energy:.10f} Hartree  change {change:+.1e}  {seconds:.1f} s")


def _mean_field(mol: gto.Mole, max_memory_gib: float) -> Any:
    field = scf.RHF(mol) if mol.spin == 0 else scf.ROHF(mol)
    field.verbose = 0
    field.max_memory = max_memory_gib * _MIB_PER_GIB
    field.conv_tol = _CONVERGENCE
    field.conv_tol_grad = _GRADIENT
    return field


def _second_order(field: Any, working: Path, log: Callable[[str], None], started: float) -> Any:
    newton = field.newton()
    newton.verbose = 0
    newton.max_cycle = field.max_cycle
    # Its inner iterations stop near a gradient of 2e-7; at 1e-6 the energy is good to its square, 1e-12 Hartree.
    newton.conv_tol_grad = _SECOND_ORDER_GRADIENT
    newton.chkfile = str(working)
    newton.callback = _Cycles(log, started)
    newton.kernel(field.mo_coeff, field.mo_occ)
    return newton


def _with_fixed_signs(mo_coeff: Array) -> Array:
    """The largest coefficient of each orbital positive: an orbital's sign is free, and integrals should not be."""
    largest = np.argmax(np.abs(mo_coeff), axis=0)
    signs = np.where(mo_coeff[largest, np.arange(mo_coeff.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(mo_coeff * signs)


def _same_molecule(stored: gto.Mole, mol: gto.Mole, name: str) -> None:
    for what, there, here in (
        ("charge", stored.charge, mol.charge),
        ("spin", stored.spin, mol.spin),
        ("atoms", _symbols(stored), _symbols(mol)),
    ):
        if there != here:
            raise DifferentCalculation(f"{name} has {what} {there}, the calculation {here}")
    moved = float(np.abs(stored.atom_coords() - mol.atom_coords()).max())
    if not moved < 1e-10:
        raise DifferentCalculation(f"{name} has another geometry: an atom lies {moved:.2e} Bohr away")
    # The AO labels name every function, its exponents are compared too: a basis may differ in numbers alone.
    if stored.ao_labels() != mol.ao_labels() or not _same_exponents(stored, mol):
        raise DifferentCalculation(f"{name} has other basis functions ({stored.nao_nr()} of {stored.basis!r})")


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


def _energy_of(mol: gto.Mole, coeff: Array, occupation: Array, max_memory_gib: float) -> tuple[float, float]:
    """Energy in Hartree of one Fock build, and the largest deviation of the orbitals from orthonormality."""
    field = _mean_field(mol, max_memory_gib)
    overlap = field.get_ovlp()
    deviation = float(np.abs(coeff.T @ overlap @ coeff - np.eye(coeff.shape[1])).max())
    density = field.make_rdm1(lib.tag_array(coeff), occupation)
    return float(field.energy_tot(dm=density)), deviation
