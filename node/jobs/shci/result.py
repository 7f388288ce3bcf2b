"""Result files of an SHCI calculation: result.json and the table of its iterations."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from spotwave.node.jobs.shci.integrals_proof import IntegralsProof
from spotwave.node.jobs.shci.invariants import of_another_spin
from spotwave.node.jobs.shci.programs.base import Energies
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock
from spotwave.node.jobs.shci.shci_run import ShciRun
from spotwave.node.untrusted.own_files import clear_way


def write_iterations(path: Path, energies: Energies) -> None:
    """Write a CSV file: number, determinants, variational energy (Hartree), seconds."""
    rows = [(i.number, i.determinants, i.variational_energy, i.seconds) for i in energies.iterations]
    names = {"iteration": pl.Int64, "determinants": pl.Int64, "variational_energy": pl.Float64, "seconds": pl.Float64}
    clear_way(path)
    pl.DataFrame(rows, schema=names, orient="row").write_csv(path)


def result_of(run: ShciRun, hf: HartreeFock, proof: IntegralsProof, energies: Energies) -> dict[str, Any]:
    """Return the content of result.json: energies in Hartree, geometry in Bohr, seconds summed over all attempts."""
    calculation, size, reference = run.calculation, run.size, run.reference
    assert reference is not None, "the reference is chosen before the integrals are written"
    notes = (energies.note, reference.note, of_another_spin(run.solver, energies))
    return {
        "parameters": calculation.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("prefect", "pyscf", "numpy", "polars")}
        | {"python": platform.python_version(), "program": f"{energies.program} {energies.version}"},
        "geometry": [
            {"element": hf.mol.atom_pure_symbol(i), "bohr": [float(x) for x in hf.mol.atom_coord(i)]}
            for i in range(size.n_atoms)
        ],
        "basis_functions": size.n_orbitals,
        "orbitals": int(hf.mo_coeff.shape[1]),
        "electrons": size.n_electrons,
        "frozen_core_orbitals": size.n_frozen,
        "nuclear_repulsion": hf.nuclear_repulsion,
        "rhf_energy": hf.energy,
        "hf_method": hf.method,
        "cartesian": calculation.cartesian,
        "first_determinant_energy": run.facts["first_determinant_energy"],
        "reference": reference.model_dump(mode="json"),
        "integrals_sha256": proof.sha256,
        "eps1": calculation.eps1,
        "eps2": calculation.eps2,
        "determinants": energies.determinants,
        "variational_energy": energies.variational_energy,
        "total_energy": energies.total_energy,
        "error_bar": energies.error_bar,
        "threshold_error": energies.threshold_error,
        "s_squared": energies.s_squared,
        "note": " ".join(filter(None, notes)),
        "wall_seconds": run.facts["seconds"],
        "answer": f"total energy {energies.in_words} Ha",
    }
