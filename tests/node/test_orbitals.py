"""The same input gives the same orbitals, and programs start from the Hartree-Fock determinant."""

from __future__ import annotations

import json
import subprocess
import sys
from math import cos, pi, sin
from pathlib import Path

import numpy as np
import pytest

from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.fcidump_energies import determinant_energy
from spotwave.node.jobs.shci.integrals_proof import IntegralsProof, same_integrals
from spotwave.node.jobs.shci.scf.hartree_fock import load_hartree_fock
from spotwave.node.jobs.shci.scf.orbitals import in_order
from tests.node.chemistry import hartree_fock


def ring(symbol: str, n: int, radius: float) -> str:
    """Return atoms on a circle, Angstrom."""
    return "; ".join(
        f"{symbol} {radius * cos(2 * pi * k / n):.10f} {radius * sin(2 * pi * k / n):.10f} 0" for k in range(n)
    )


NEARLY = "B(OH)3, C3h"
# With pi, e and t levels, aligned with the axes and not; a pure rotation group, without a useful Abelian subgroup.
DEGENERATE = {
    "N2": Calculation(molecule="N 0 0 0; N 0 0 1.1", basis="6-31g"),
    "N2 askew": Calculation(molecule="N 0.1 0 0; N 0.4 0.4 1.0", basis="6-31g"),
    "NO": Calculation(molecule="N 0 0 0; O 0 0 1.15", basis="6-31g", spin=1),
    "CH4": Calculation(
        molecule="C 0 0 0; H 0.629 0.629 0.629; H -0.629 -0.629 0.629; H -0.629 0.629 -0.629; H 0.629 -0.629 -0.629",
        basis="6-31g",
    ),
    "H6": Calculation(molecule=ring("H", 6, 1.2), basis="6-31g"),
    "benzene": Calculation(molecule=f"{ring('C', 6, 1.39)}; {ring('H', 6, 2.48)}", basis="sto-3g"),
    NEARLY: Calculation(
        molecule="B 0 0 0; O 1.37 0 0; O -0.685 1.1864548 0; O -0.685 -1.1864548 0; "
        "H 1.69 0.91 0; H -1.6331 1.0086 0; H -0.0569 -1.9186 0",
        basis="sto-3g",
    ),
}

MAKE = """
import json, sys
from pathlib import Path
from pyscf import lib
from spotwave.node.jobs.shci.calculation import Calculation
from tests.node.chemistry import dump
lib.num_threads(int(sys.argv[2]))
print(json.dumps(dump(Calculation.model_validate_json(sys.argv[3]), Path(sys.argv[1])).to_dict()))
"""


def made_by(folder: Path, threads: int, calculation: Calculation) -> IntegralsProof:
    """Compute the integrals in a separate process, as on another machine."""
    folder.mkdir()
    command = [sys.executable, "-c", MAKE, str(folder), str(threads), calculation.model_dump_json()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return IntegralsProof.from_dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", DEGENERATE)
def test_the_same_input_gives_the_same_integrals(name: str, tmp_path: Path) -> None:
    """Bit for bit with one thread; up to the order of summation with two."""
    first, again = (made_by(tmp_path / f"one-{n}", 1, DEGENERATE[name]) for n in range(2))
    assert first.sha256 == again.sha256
    two = made_by(tmp_path / "two", 2, DEGENERATE[name])
    if name == NEARLY:  # rounded coordinates: levels are so close that the SCF reproduces orbitals only to 1e-8
        assert np.allclose(first.fingerprint, two.fingerprint, rtol=0, atol=1e-6 * first.fingerprint[0])
    else:
        assert same_integrals(first, two)


# Hartree-Fock energies in Hartree by PySCF (equal to psi4 if it finds the same solution).
@pytest.mark.parametrize(
    ("molecule", "spin", "basis", "energy"),
    [
        ("Cr 0 0 0", 6, "6-31g", -1043.189382),
        ("Cr 0 0 0", 6, "sto-3g", -1032.0744),
        ("O 0 0 0; O 0 0 1.2", 2, "sto-3g", None),
        ("H 0 0 0", 1, "6-31g", -0.498232910729),
    ],
)
def test_the_first_determinant_is_that_of_hartree_fock(
    molecule: str, spin: int, basis: str, energy: float | None, tmp_path: Path
) -> None:
    """An ROHF leaves singly occupied orbitals after empty ones (chromium), but programs take the first ones."""
    calculation = Calculation(molecule=molecule, spin=spin, basis=basis, frozen_core=molecule.startswith("Cr"))
    hf = hartree_fock(calculation, tmp_path)
    assert energy is None or hf.energy == pytest.approx(energy, abs=1e-4 if basis == "sto-3g" else 1e-6)
    assert np.all(np.diff(hf.mo_occ) <= 0)
    frozen = check(calculation).n_frozen
    proof = write_fcidump(hf, tmp_path / "FCIDUMP", frozen=frozen, max_memory_gib=2.0)
    n_alpha, n_beta = (proof.n_electrons + spin) // 2, (proof.n_electrons - spin) // 2
    assert determinant_energy(tmp_path / "FCIDUMP", range(n_alpha), range(n_beta)) == pytest.approx(hf.energy, abs=1e-9)
    again = load_hartree_fock(calculation, hf.chkfile)
    assert np.array_equal(again.mo_coeff, hf.mo_coeff)


def test_orbitals_are_ordered_by_occupation_energy_and_irrep() -> None:
    energy = np.array([-1.0, 0.3, 0.1, -0.2, 0.1 + 1e-9])
    occupation = np.array([2.0, 0.0, 0.0, 1.0, 0.0])
    found = in_order(np.eye(5), energy, occupation, np.array([0, 0, 7, 0, 3]), np.eye(5))
    assert [int(np.argmax(column)) for column in found.coeff.T] == [0, 3, 4, 2, 1]


def test_degenerate_orbitals_are_unmixed_by_the_rule() -> None:
    """Independent of the mixing and the signs that the SCF gave."""
    random = np.random.default_rng(7)
    orthogonal, _ = np.linalg.qr(random.standard_normal((6, 6)))
    energy, occupation, irreps = (
        np.array([-1.0, -1.0, -1.0, 0.5, 0.5, 0.9]),
        np.array([2.0] * 3 + [0.0] * 3),
        np.zeros(6),
    )
    wanted = in_order(orthogonal, energy, occupation, irreps.astype(np.int64), np.eye(6)).coeff
    mixed = orthogonal.copy()
    for level in (slice(0, 3), slice(3, 5)):
        size = level.stop - level.start
        mixed[:, level] = mixed[:, level] @ np.linalg.qr(random.standard_normal((size, size)))[0]
    mixed[:, 5] *= -1
    assert in_order(mixed, energy, occupation, irreps.astype(np.int64), np.eye(6)).coeff == pytest.approx(
        wanted, abs=1e-12
    )
