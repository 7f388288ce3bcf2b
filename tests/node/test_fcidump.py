from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyscf import ao2mo, mcscf, scf
from pyscf.tools import fcidump

import spotwave.node.jobs.shci.fcidump as module
from spotwave.node.jobs.shci.calculation import WATER_DIMER, Calculation
from spotwave.node.jobs.shci.fcidump import IntegralsProof, same_integrals, write_fcidump
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock
from tests.node.chemistry import hartree_fock


@pytest.fixture(scope="module", params=["sto-3g", "6-31g"])
def dimer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HartreeFock:
    return hartree_fock(Calculation(basis=request.param), tmp_path_factory.mktemp("dimer"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> HartreeFock:
    return hartree_fock(Calculation(basis="sto-3g"), tmp_path_factory.mktemp("small"))


def test_pyscf_reads_the_integrals_that_it_would_compute(dimer: HartreeFock, tmp_path: Path) -> None:
    path = tmp_path / "FCIDUMP"
    proof = write_fcidump(dimer, path, frozen=0, max_memory_gib=1.0)
    data = fcidump.read(str(path), verbose=False)
    n = dimer.mo_coeff.shape[1]
    assert (data["NORB"], data["NELEC"], data["MS2"]) == (n, 20, 0) == (proof.n_orbitals, proof.n_electrons, proof.spin)
    two = ao2mo.restore(8, ao2mo.full(dimer.mol, dimer.mo_coeff), n)
    one = dimer.mo_coeff.T @ scf.hf.get_hcore(dimer.mol) @ dimer.mo_coeff
    assert np.abs(data["H2"] - two).max() < 1e-12
    assert np.abs(data["H1"] - one).max() < 1e-12
    assert data["ECORE"] == pytest.approx(dimer.mol.energy_nuc(), abs=1e-12)
    assert [entry.name for entry in tmp_path.iterdir()] == ["FCIDUMP"]


def test_pyci_reads_the_same_integrals(dimer: HartreeFock, tmp_path: Path) -> None:
    path = tmp_path / "FCIDUMP"
    write_fcidump(dimer, path, frozen=0, max_memory_gib=1.0)
    program = (
        "import sys, numpy, pyci; h = pyci.hamiltonian(sys.argv[1]);"
        "numpy.savez(sys.argv[2], core=h.ecore, one=h.one_mo, two=h.two_mo)"
    )
    subprocess.run([sys.executable, "-c", program, str(path), str(tmp_path / "read.npz")], check=True)
    data = fcidump.read(str(path), verbose=False)
    with np.load(tmp_path / "read.npz") as read:
        assert float(read["core"]) == data["ECORE"]
        assert np.abs(read["one"] - data["H1"]).max() < 1e-12
        two = ao2mo.restore(1, data["H2"], data["NORB"])  # chemists' (ij|kl); PyCI holds physicists' <ik|jl>
        assert np.abs(read["two"].transpose(0, 2, 1, 3) - two).max() < 1e-12


def test_a_frozen_core_is_included(small: HartreeFock, tmp_path: Path) -> None:
    path = tmp_path / "FCIDUMP"
    proof = write_fcidump(small, path, frozen=2, max_memory_gib=1.0)
    data = fcidump.read(str(path), verbose=False)
    field = scf.RHF(small.mol)
    field.mo_coeff, field.mo_occ, field.mo_energy = small.mo_coeff, small.mo_occ, small.mo_energy
    reference = mcscf.CASCI(field, 12, 16)
    one, core = reference.get_h1eff()
    assert (data["NORB"], data["NELEC"]) == (12, 16)
    assert data["ECORE"] == pytest.approx(core, abs=1e-11) == proof.core_energy
    assert np.abs(data["H1"] - one).max() < 1e-12
    assert np.abs(data["H2"] - ao2mo.restore(8, reference.get_h2eff(), 12)).max() < 1e-12
    # The integrals reproduce the energy of the Hartree-Fock determinant.
    two = ao2mo.restore(1, data["H2"], 12)
    occupied = range(8)
    energy = data["ECORE"] + 2 * sum(data["H1"][i, i] for i in occupied)
    energy += sum(2 * two[i, i, j, j] - two[i, j, j, i] for i in occupied for j in occupied)
    assert energy == pytest.approx(small.energy, abs=1e-9)


def test_a_transformation_through_files_gives_the_same_integrals(
    small: HartreeFock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_fcidump(small, tmp_path / "a", frozen=1, max_memory_gib=1.0)
    monkeypatch.setattr(module, "_BLOCK", 100)  # also use many blocks
    calls: list[str] = []
    original = ao2mo.outcore.full
    monkeypatch.setattr(ao2mo.outcore, "full", lambda *a, **k: (calls.append("file"), original(*a, **k))[1])
    blocks = write_fcidump(small, tmp_path / "b", frozen=1, max_memory_gib=2e-4)
    assert calls == ["file"]
    assert same_integrals(whole, blocks)
    a, b = (fcidump.read(str(tmp_path / name), verbose=False) for name in "ab")
    assert np.abs(a["H2"] - b["H2"]).max() < 1e-12
    assert list(small.chkfile.parent.iterdir()) == [small.chkfile]


_PEAK = r"""
import re, sys
from pathlib import Path
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.scf.hartree_fock import load_hartree_fock
folder = Path(sys.argv[1])
hf = load_hartree_fock(Calculation(basis="aug-cc-pvdz"), folder / "scf.chk", max_memory_gib=0.02)
write_fcidump(hf, folder / "FCIDUMP", frozen=0, max_memory_gib=float(sys.argv[2]))
# Not getrusage: after vfork and exec its maximum still includes the parent's memory.
print(1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """82 orbitals: three arrays of 46, 93 and 93 MB in memory, compared with blocks of a file."""
    hartree_fock(Calculation(basis="aug-cc-pvdz"), tmp_path)
    peaks = {}
    for limit in ("0.1", "4"):
        command = [sys.executable, "-c", _PEAK, str(tmp_path), limit]
        peaks[limit] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peaks["0.1"] < peaks["4"] - 40e6


def test_orbsym_follows_molpro_numbering(tmp_path: Path) -> None:
    water = Calculation(molecule="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="sto-3g")
    hf = hartree_fock(water, tmp_path)
    write_fcidump(hf, tmp_path / "with", frozen=0, orbsym=True, max_memory_gib=1.0)
    write_fcidump(hf, tmp_path / "without", frozen=0, max_memory_gib=1.0)
    labels = fcidump.read(str(tmp_path / "with"), verbose=False)["ORBSYM"]
    # 1a1 2a1 1b2 3a1 1b1 4a1 2b2 in C2v; the assignment of b1 and b2 to the planes is a convention.
    assert labels in ([1, 1, 3, 1, 2, 1, 3], [1, 1, 2, 1, 3, 1, 2])
    assert fcidump.read(str(tmp_path / "without"), verbose=False)["ORBSYM"] == [1] * 7
    two = ao2mo.restore(1, fcidump.read(str(tmp_path / "with"), verbose=False)["H2"], 7)
    odd = np.array([[a == b for b in labels] for a in labels])
    assert np.abs(two[~odd][:, odd]).max() < 1e-10  # (ij|kl) vanishes if ij and kl have different symmetry


def test_linear_molecules_and_atoms_have_correct_labels(tmp_path: Path) -> None:
    for molecule in ("N 0 0 0; N 0 0 1.1", "Ne 0 0 0"):
        hf = hartree_fock(Calculation(molecule=molecule, basis="6-31g"), tmp_path)
        write_fcidump(hf, tmp_path / "FCIDUMP", frozen=0, orbsym=True, max_memory_gib=1.0)
        data = fcidump.read(str(tmp_path / "FCIDUMP"), verbose=False)
        differ = np.not_equal.outer(data["ORBSYM"], data["ORBSYM"])
        assert np.abs(data["H1"][differ]).max(initial=0.0) < 1e-9


def test_a_calculation_without_correlated_electrons_is_refused(small: HartreeFock, tmp_path: Path) -> None:
    for frozen in (-1, 10, 14):
        with pytest.raises(ValueError, match="impossible"):
            write_fcidump(small, tmp_path / "FCIDUMP", frozen=frozen, max_memory_gib=1.0)
    assert list(tmp_path.iterdir()) == []


def test_the_proof_detects_other_integrals(small: HartreeFock, tmp_path: Path) -> None:
    def proof(hf: HartreeFock) -> IntegralsProof:
        return write_fcidump(hf, tmp_path / "FCIDUMP", frozen=0, max_memory_gib=1.0)

    ours = proof(small)
    assert IntegralsProof.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours
    assert same_integrals(ours, ours)
    # Rounding differences, as on another processor: other bytes, the same integrals.
    rounded = proof(replace(small, mo_coeff=small.mo_coeff * (1 + 1e-15)))
    assert rounded.sha256 != ours.sha256
    assert same_integrals(ours, rounded)
    flipped = small.mo_coeff.copy()
    flipped[:, 3] *= -1
    assert not same_integrals(ours, proof(replace(small, mo_coeff=flipped)))
    swapped = small.mo_coeff.copy()
    swapped[:, [12, 13]] = swapped[:, [13, 12]]
    assert not same_integrals(ours, proof(replace(small, mo_coeff=swapped)))
    moved = Calculation(basis="sto-3g", molecule=WATER_DIMER.replace("0.762503", "0.762504"))
    assert not same_integrals(ours, proof(hartree_fock(moved, tmp_path / "moved")))
    assert not same_integrals(ours, replace(rounded, n_electrons=18))
    assert not same_integrals(ours, replace(rounded, fingerprint=()))
