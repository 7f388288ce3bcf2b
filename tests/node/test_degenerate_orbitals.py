"""If an open shell fills part of a level, rounding must not decide where an SCF ends."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pyscf import scf

from spotwave.node.jobs.shci.calculation import Calculation, build_molecule
from spotwave.node.jobs.shci.scf.mean_field import mean_field, with_symmetry

# Two levels of one irrep (d functions of an atom in D2h), of two irreps, and without any symmetry.
SYSTEMS = {
    "Mn": Calculation(molecule="Mn 0 0 0", spin=5, basis="sto-3g"),
    "CN, quartet": Calculation(molecule="C 0 0 0; N 0 0 1.0", spin=3, basis="sto-3g"),
    "Sc": Calculation(molecule="Sc 0 0 0", spin=1, basis="def2-svp"),
}


def ends(calculation: Calculation, noise: float) -> list[tuple[float, NDArray[np.float64]]]:
    """Return energy (Hartree) and density (AO, AO) of SCFs whose one-electron integrals differ by rounding."""
    molecule = with_symmetry(build_molecule(calculation))
    found = []
    for seed in range(4):
        field = mean_field(molecule, 2.0)
        core = field.get_hcore()
        rounding = np.random.default_rng(seed).standard_normal(core.shape) * noise
        field.get_hcore = lambda *_, changed=core + rounding + rounding.T: changed
        field.max_cycle = 100
        field.kernel()
        density = np.asarray(field.make_rdm1())
        found.append((float(field.e_tot), density.sum(axis=0) if density.ndim == 3 else density))
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_rounding_does_not_decide_where_an_scf_ends(name: str) -> None:
    (energy, density), *others = ends(SYSTEMS[name], noise=1e-14)
    for other_energy, other_density in others:
        assert other_energy == pytest.approx(energy, abs=1e-9)
        assert np.abs(other_density - density).max() < 1e-4, "another component of the level is filled"


@pytest.mark.thorough
def test_in_pyscf_alone_rounding_decides() -> None:
    """Shows why the rule exists; if this test fails, the rule can be removed."""
    molecule = with_symmetry(build_molecule(SYSTEMS["Mn"]))
    energies = set()
    for seed in range(8):
        field = scf.ROHF(molecule)
        core = field.get_hcore()
        rounding = np.random.default_rng(seed).standard_normal(core.shape) * 1e-14
        field.get_hcore = lambda *_, changed=core + rounding + rounding.T: changed
        field.verbose, field.max_cycle = 0, 100
        field.kernel()
        energies.add(round(float(field.e_tot), 4))
    assert len(energies) > 1
