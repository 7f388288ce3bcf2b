"""Compare energies with other programs that are run here: psi4 and NWChem (both in Debian) for the mean field, block2
for SHCI.

block2 is not in the lock file (its licence is GPL-3, and with MKL it has 300 MB): `pip install block2` to run it.
"""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from tests.node.chemistry import dump, hartree_fock, quiet, task_for
from tests.parts import needs

SYSTEMS = {
    "water": Calculation(molecule="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="6-31g*"),
    "water, Cartesian": Calculation(
        molecule="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="6-31g*", cartesian=True
    ),
    "CH2, triplet": Calculation(molecule="C 0 0 0; H 0 0.986 0.51; H 0 -0.986 0.51", spin=2, basis="6-31g"),
    "N2": Calculation(molecule="N 0 0 0; N 0 0 1.1", basis="cc-pvdz"),
    "NH4+": Calculation(
        molecule="N 0 0 0; H .59 .59 .59; H .59 -.59 -.59; H -.59 .59 -.59; H -.59 -.59 .59", charge=1, basis="6-31g"
    ),
}
PSI4 = """
molecule {{
{charge} {multiplicity}
{atoms}
symmetry c1
no_com
no_reorient
}}
set {{
basis {basis}
puream {pure}
reference {reference}
scf_type pk
e_convergence 1e-10
d_convergence 1e-8
}}
print_out('found %.12f\\n' % energy('scf'))
"""
NWCHEM = """
start judged
memory 400 mb
charge {charge}
geometry units angstrom noautosym nocenter noautoz
{atoms}
end
basis {kind}
* library {basis}
end
scf
{reference}
nopen {spin}
thresh 1e-8
tol2e 1e-12
end
task scf energy
"""


def energy_from(command: list[str], folder: Path, pattern: str, output: str | None = None) -> float:
    """Run the program and return the energy in Hartree from its output or the file that it writes."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    text = done.stdout if output is None else (folder / output).read_text()
    (energy,) = re.findall(pattern, text)
    return float(energy)


def filled(template: str, calculation: Calculation) -> str:
    values = {
        "charge": calculation.charge,
        "spin": calculation.spin,
        "multiplicity": calculation.spin + 1,
        "atoms": calculation.molecule.replace("; ", "\n"),
        "basis": calculation.basis,
        "pure": "false" if calculation.cartesian else "true",
        "kind": "cartesian" if calculation.cartesian else "spherical",
        "reference": "rohf" if calculation.spin else "rhf",
    }
    return template.format(**values)


@needs("psi4")
@pytest.mark.parametrize("name", SYSTEMS)
def test_hartree_fock_agrees_with_psi4(name: str, tmp_path: Path) -> None:
    (tmp_path / "input.dat").write_text(filled(PSI4, SYSTEMS[name]))
    judged = energy_from(["psi4", "-n", "1", "input.dat", "output.dat"], tmp_path, r"found (-\d+\.\d+)", "output.dat")
    assert hartree_fock(SYSTEMS[name], tmp_path).energy == pytest.approx(judged, abs=2e-8)


@needs("nwchem")
@pytest.mark.parametrize("name", SYSTEMS)
def test_hartree_fock_agrees_with_nwchem(name: str, tmp_path: Path) -> None:
    (tmp_path / "input.nw").write_text(filled(NWCHEM, SYSTEMS[name]))
    judged = energy_from(["nwchem", "input.nw"], tmp_path, r"Total SCF energy = +(-\d+\.\d+)")
    assert hartree_fock(SYSTEMS[name], tmp_path).energy == pytest.approx(judged, abs=2e-8)


@pytest.mark.skipif(find_spec("block2") is None, reason="block2 is not in this environment (pip install block2)")
@pytest.mark.parametrize("spin", [0, 2])
def test_shci_at_a_tiny_threshold_agrees_with_block2(spin: int, tmp_path: Path) -> None:
    """DMRG with a bond dimension that is large enough to be exact."""
    from pyblock2.driver.core import DMRGDriver, SymmetryTypes

    calculation = Calculation(molecule="N 0 0 0; N 0 0 1.4", spin=spin, basis="sto-3g")
    proof = dump(calculation, tmp_path)
    task = task_for(proof, tmp_path, eps1=1e-6, eps2=1e-8)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    driver = DMRGDriver(scratch=str(tmp_path / "dmrg"), symm_type=SymmetryTypes.SU2, n_threads=1)
    driver.read_fcidump(filename=str(task.fcidump), pg="c1")
    driver.initialize_system(n_sites=proof.n_orbitals, n_elec=proof.n_electrons, spin=spin)
    operator = driver.get_qc_mpo(h1e=driver.h1e, g2e=driver.g2e, ecore=driver.ecore, iprint=0)
    state = driver.get_random_mps(tag="state", bond_dim=400, nroots=1)
    judged = driver.dmrg(operator, state, n_sweeps=12, bond_dims=[400], noises=[1e-4] * 4 + [0], iprint=0)
    assert energies.total_energy == pytest.approx(float(judged), abs=1e-7)
