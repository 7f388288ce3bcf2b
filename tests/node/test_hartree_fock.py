from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pyscf import scf

from spotwave.node.jobs.shci.calculation import WATER_DIMER, Calculation, build_molecule
from spotwave.node.jobs.shci.scf.hartree_fock import (
    DifferentCalculation,
    ScfNotConverged,
    load_hartree_fock,
    run_hartree_fock,
)
from tests.node.chemistry import hartree_fock, quiet

STO3G = Calculation(basis="sto-3g")


@pytest.fixture(scope="module")
def chkfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hartree_fock(STO3G, tmp_path_factory.mktemp("scf")).chkfile


def test_reference_energies(tmp_path: Path) -> None:
    lines: list[str] = []
    hf = run_hartree_fock(Calculation(), tmp_path / "a" / "scf.chk", max_memory_gib=2.0, log=lines.append)
    assert hf.energy == pytest.approx(-151.9797610271, abs=1e-8)
    assert hf.mo_coeff.shape == (26, 26)
    assert not hf.second_order
    assert any("cycle   1" in line for line in lines)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["scf.chk"]


def test_a_loaded_mean_field_is_the_same(chkfile: Path) -> None:
    loaded = load_hartree_fock(STO3G, chkfile)
    assert loaded.energy == pytest.approx(-149.9353759264, abs=1e-8)
    assert loaded.nuclear_repulsion == pytest.approx(36.66284801418409)
    assert loaded.mo_occ.sum() == 20


def test_unpaired_electrons_and_one_electron(tmp_path: Path) -> None:
    hydrogen = Calculation(molecule="H 0 0 0", basis="6-31g", spin=1)
    assert hartree_fock(hydrogen, tmp_path).energy == pytest.approx(-0.498232910729, abs=1e-9)
    oxygen = Calculation(molecule="O 0 0 0; O 0 0 1.2", basis="sto-3g", spin=2)
    hf = hartree_fock(oxygen, tmp_path)
    assert hf.energy == pytest.approx(float(scf.ROHF(hf.mol).run(verbose=0).e_tot), abs=1e-7)
    assert load_hartree_fock(oxygen, hf.chkfile).energy == hf.energy


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"charge": 2}, "charge 0, but the calculation has 2"),
        ({"spin": 2}, "spin 0, but the calculation has 2"),
        ({"basis": "6-31g"}, "other basis functions"),
        ({"cartesian": True}, "functions spherical, but the calculation has cartesian"),
        ({"molecule": WATER_DIMER.replace("0.762503", "0.762504")}, "an atom is 1.89e-06 Bohr away"),
        ({"molecule": WATER_DIMER.replace("O -1.55", "S -1.55")}, "atoms"),
    ],
)
def test_another_calculation_is_refused(chkfile: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(DifferentCalculation, match=text.replace("+", r"\+")):
        load_hartree_fock(STO3G.model_copy(update=change), chkfile)


@pytest.mark.parametrize(
    ("dataset", "text"),
    [("scf/e_tot", "its orbitals have the energy"), ("scf/mo_coeff", "deviate from orthonormality")],
)
def test_a_changed_file_is_refused(chkfile: Path, tmp_path: Path, dataset: str, text: str) -> None:
    changed = shutil.copy(chkfile, tmp_path / "scf.chk")
    with h5py.File(changed, "r+") as file:
        file[dataset][...] = file[dataset][()] + 1e-7
    with pytest.raises(DifferentCalculation, match=text):
        load_hartree_fock(STO3G, changed)


def rotated(coeff: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate the highest occupied and the lowest empty orbital by 0.3 rad."""
    turn = np.eye(coeff.shape[1])
    turn[9:11, 9:11] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    return np.asarray(coeff @ turn)


def swapped(coeff: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.arange(coeff.shape[1])
    order[[8, 10]] = order[[10, 8]]
    return np.asarray(coeff[:, order])


@pytest.mark.parametrize("change", [rotated, swapped])
def test_orbitals_of_another_determinant_are_refused(
    chkfile: Path, tmp_path: Path, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    """Their stored energy is correct, but they are not Hartree-Fock orbitals."""
    changed = shutil.copy(chkfile, tmp_path / "scf.chk")
    mol = build_molecule(STO3G)
    with h5py.File(changed, "r+") as file:
        coeff = change(file["scf/mo_coeff"][()])
        field = scf.RHF(mol)
        file["scf/mo_coeff"][...] = coeff
        file["scf/e_tot"][...] = field.energy_tot(dm=field.make_rdm1(coeff, file["scf/mo_occ"][()]))
    with pytest.raises(DifferentCalculation, match="not Hartree-Fock orbitals, their gradient is"):
        load_hartree_fock(STO3G, changed)


def test_a_damaged_file_is_refused(chkfile: Path, tmp_path: Path) -> None:
    broken = tmp_path / "scf.chk"
    broken.write_bytes(chkfile.read_bytes()[:3000])
    with pytest.raises(DifferentCalculation, match="not a readable SCF checkpoint"):
        load_hartree_fock(STO3G, broken)


def test_an_unconverged_scf_is_an_error_with_advice(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(ScfNotConverged, match="Check geometry"):
        run_hartree_fock(STO3G, tmp_path / "scf.chk", max_memory_gib=2.0, log=lines.append, max_cycles=1)
    assert any("second-order" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_second_order_iterations_converge_a_difficult_case(tmp_path: Path) -> None:
    hf = run_hartree_fock(STO3G, tmp_path / "scf.chk", max_memory_gib=2.0, log=quiet, max_cycles=5)
    assert hf.second_order
    assert hf.energy == pytest.approx(-149.9353759264, abs=1e-8)
    assert load_hartree_fock(STO3G, hf.chkfile).energy == hf.energy
