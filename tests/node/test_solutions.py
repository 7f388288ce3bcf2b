"""Choice of the Hartree-Fock solutions that a calculation may start from.

Energies of atoms and broken bonds in Hartree: the lowest that PySCF, psi4 and NWChem found from many starts (recorded
in November 2026).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyscf import scf
from pyscf.soscf import newton_ah

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.fcidump_energies import determinant_energy
from spotwave.node.jobs.shci.scf.first_determinant import lowest_by_exchanges
from spotwave.node.jobs.shci.scf.hartree_fock import load_hartree_fock, run_hartree_fock
from spotwave.node.jobs.shci.scf.occupations import lowest_determinants
from spotwave.node.jobs.shci.scf.stability import analyse, is_minimum
from tests.node.chemistry import MEMORY_GIB, hartree_fock, quiet, solutions_of


@pytest.mark.parametrize(
    ("molecule", "spin", "basis", "energy", "origins"),
    [
        # From the initial SCF: -1137.33, -752.0012, -147.1399, -942.7361.
        ("Mn 0 0 0", 5, "sto-3g", -1137.645155674, {"occupation", "instability"}),
        ("Sc 0 0 0", 1, "sto-3g", -752.011474391, {"occupation", "instability"}),
        ("O 0 0 0; O 0 0 4.0", 2, "sto-3g", -147.466139159, {"occupation", "instability"}),
        ("V 0 0 0", 3, "def2-svp", -942.748088714, {"occupation"}),
        ("O 0 0 0; H 0 0 0.97", 1, "6-31g", None, {"start"}),
    ],
)
def test_the_lowest_solution_is_found(
    molecule: str, spin: int, basis: str, energy: float | None, origins: set[str], tmp_path: Path
) -> None:
    calculation = Calculation(molecule=molecule, spin=spin, basis=basis)
    found = solutions_of(calculation, tmp_path)
    assert found[0].origin in origins
    if energy is not None:
        assert found[0].hf.energy == pytest.approx(energy, abs=2e-6)
    assert any(one.origin == "start" for one in found), "a lower one may be the worse reference"
    for one in found:
        assert load_hartree_fock(calculation, one.hf.chkfile).energy == pytest.approx(one.hf.energy, abs=1e-9)
        assert np.all(np.diff(one.hf.mo_occ) <= 0)
    assert len({round(one.hf.energy, 5) for one in found}) == len(found)


@pytest.mark.parametrize(
    ("molecule", "spin", "stable"),
    [
        ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", 0, True),
        ("N 0 0 0; N 0 0 2.2", 0, False),
        # PySCF's own analysis calls it stable, because none of its start vectors overlaps with the mode.
        ("Mn 0 0 0", 5, False),
        ("O 0 0 0; H 0 0 0.97", 1, True),
    ],
)
def test_stability_is_the_lowest_eigenvalue_of_the_whole_hessian(
    molecule: str, spin: int, stable: bool, tmp_path: Path
) -> None:
    hf = hartree_fock(Calculation(molecule=molecule, spin=spin, basis="sto-3g"), tmp_path)
    found, rotated = analyse(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB)
    field: Any = scf.RHF(hf.mol) if spin == 0 else scf.ROHF(hf.mol)
    terms = newton_ah.gen_g_hop_rhf if spin == 0 else newton_ah.gen_g_hop_rohf
    spins = np.array([hf.mo_occ > 0, hf.mo_occ > 1]).astype(float)
    both = np.array([hf.mo_coeff, hf.mo_coeff])
    internal = lowest_of(*terms(field, hf.mo_coeff, hf.mo_occ, with_symmetry=False))
    external = lowest_of(*newton_ah.gen_g_hop_uhf(scf.UHF(hf.mol), both, spins, with_symmetry=False))
    assert found.internal == pytest.approx(internal, abs=1e-4)
    assert found.external == pytest.approx(external, abs=1e-4)
    assert is_minimum(found) == stable
    assert (rotated is None) == stable


def lowest_of(gradient: NDArray[np.float64], times: Callable[[Any], Any], _: Any) -> float:
    """Return the lowest eigenvalue of the whole matrix, Hartree."""
    matrix = 2 * np.array([times(row) for row in np.eye(len(gradient))])
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])


def test_a_single_orbital_has_no_stability(tmp_path: Path) -> None:
    found = solutions_of(Calculation(molecule="H 0 0 0", spin=1, basis="sto-3g"), tmp_path)
    assert [(one.stability.internal, one.stability.external) for one in found] == [(None, None)]


def test_energies_of_other_determinants_agree_with_pyscf(tmp_path: Path) -> None:
    hf = hartree_fock(Calculation(molecule="C 0 0 0; N 0 0 1.17", spin=1, basis="6-31g"), tmp_path)
    found = lowest_determinants(hf.mol, hf.mo_coeff, hf.mo_occ, hf.labels, max_memory_gib=MEMORY_GIB)
    field = scf.ROHF(hf.mol)
    reference = field.energy_tot(dm=field.make_rdm1(hf.mo_coeff, hf.mo_occ))
    assert sorted(one.irrep for one in found) == [0, 2, 3]  # A1, B1, B2: one electron is unpaired
    assert (found[0].occupation == hf.mo_occ).all()
    for one in found:
        energy = field.energy_tot(dm=field.make_rdm1(hf.mo_coeff, one.occupation))
        assert one.excitation == pytest.approx(energy - reference, abs=1e-8)
        assert one.occupation.sum() == hf.mo_occ.sum()
        assert np.count_nonzero(one.occupation == 1) == 1


@pytest.mark.thorough
def test_an_irrep_with_a_double_prime_can_be_reported(tmp_path: Path) -> None:
    """In a planar radical, the unpaired electron is out of the plane."""
    radical = Calculation(molecule="O 0 0 0; O 1.33 0 0; H -0.24 0.95 0", spin=1, basis="sto-3g")
    (first, *_) = solutions_of(radical, tmp_path)
    assert first.report(None).irrep == 'A"'


def test_a_soft_mode_does_not_prevent_convergence(tmp_path: Path) -> None:
    """Triplet nickel: the gradient along one mode remains, although the energy no longer changes."""
    nickel = Calculation(molecule="Ni 0 0 0", spin=2, basis="def2-svp")
    assert hartree_fock(nickel, tmp_path).energy == pytest.approx(-1506.562997, abs=2e-6)


def test_two_distant_atoms_are_in_their_lowest_solution(tmp_path: Path) -> None:
    """A start without symmetry ends at -0.4753."""
    hf = hartree_fock(Calculation(molecule="H 0 0 0; H 0 0 20", basis="cc-pvdz"), tmp_path)
    assert hf.energy == pytest.approx(-0.720604627, abs=1e-8)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")


def test_linearly_dependent_functions_give_fewer_orbitals(tmp_path: Path) -> None:
    """PySCF drops them from the SCF; the integrals are over the remaining orbitals."""
    close = Calculation(molecule="He 0 0 0; He 0 0 0.21", basis="aug-cc-pvqz")
    hf = run_hartree_fock(close, tmp_path / "scf.chk", max_memory_gib=MEMORY_GIB, log=quiet)
    assert hf.mo_coeff.shape[1] < hf.mol.nao_nr()


def test_the_energy_of_a_lower_determinant_agrees_with_its_integrals(tmp_path: Path) -> None:
    """With a frozen core, its orbitals are counted from the first that is not frozen."""
    far = Calculation(molecule="C 0 0 0; O 0 0 4.0", basis="sto-3g", frozen_core=True)
    hf = hartree_fock(far, tmp_path)
    found = lowest_by_exchanges(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB)
    assert found is not None
    assert all(one[:2] == (0, 1) for one in found)
    write_fcidump(hf, tmp_path / "whole", frozen=0, max_memory_gib=MEMORY_GIB)
    write_fcidump(hf, tmp_path / "valence", frozen=2, max_memory_gib=MEMORY_GIB)
    energy = determinant_energy(tmp_path / "whole", *found)
    valence = determinant_energy(tmp_path / "valence", *([orbital - 2 for orbital in one[2:]] for one in found))
    assert energy == pytest.approx(valence, abs=1e-9)
    assert energy < hf.energy - 0.1
    density = [sum(np.outer(hf.mo_coeff[:, i], hf.mo_coeff[:, i]) for i in one) for one in found]
    assert energy == pytest.approx(scf.UHF(hf.mol).energy_tot(dm=np.array(density)), abs=1e-8)


def test_a_molecule_at_equilibrium_has_no_lower_determinant(tmp_path: Path) -> None:
    hf = hartree_fock(Calculation(molecule="N 0 0 0; N 0 0 1.1", basis="6-31g"), tmp_path)
    assert lowest_by_exchanges(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB) is None


def test_a_degenerate_downhill_mode_is_chosen_by_rule(tmp_path: Path) -> None:
    """N2 at 3 Angstrom: each component of a pi level leads to a symmetry-broken solution, and so does each mixture."""
    hf = hartree_fock(Calculation(molecule="N 0 0 0; N 0 0 3.0", basis="6-31g"), tmp_path)
    random = np.random.default_rng(3)
    noise = [np.eye(len(hf.mo_occ))] + [
        np.linalg.qr(np.eye(len(hf.mo_occ)) + 1e-10 * random.standard_normal(hf.mo_coeff.shape))[0] for _ in range(2)
    ]
    signs = [np.sign(np.diag(one)) for one in noise]
    found = [
        analyse(hf.mol, hf.mo_coeff @ (one * sign), hf.mo_occ, max_memory_gib=MEMORY_GIB)[1]
        for one, sign in zip(noise, signs, strict=True)
    ]
    assert found[0] is not None
    for other in found[1:]:
        assert other is not None
        assert np.abs(other - found[0]).max() < 1e-3
