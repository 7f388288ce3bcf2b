"""Hartree-Fock, SHCI, state and stability of 85 systems, compared with recorded results of other programs.

    python -m benchmarks.accuracy [--only n2_2.2 --only cr_sto3g] [--kept accuracy.jsonl] [--write docs/accuracy.md]

The steps are those of a job: stability of the mean field, pilot calculations if there are several solutions, integrals
with their proof, SHCI. Results are stored as one line of JSON per system, so that an interrupted run can be resumed.
The recorded energies (benchmarks/data/reference_energies.json) are of psi4 1.3.2, NWChem 7.0.2, PySCF 2.14 and Dice,
November 2026.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pyscf import fci
from pyscf.tools import fcidump

from benchmarks._accuracy_table import page
from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.invariants import Contradiction, prove_energies, prove_reference
from spotwave.node.jobs.shci.pilot import choose, occupied, pilot_program
from spotwave.node.jobs.shci.programs.base import SolverTask
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.scf.hartree_fock import ScfNotConverged, run_hartree_fock
from spotwave.node.jobs.shci.scf.solutions import find_solutions
from spotwave.node.runtime.errors import ProgramFailed

RECORDED = Path(__file__).parent / "data" / "reference_energies.json"
MEMORY_GIB = 4.0
EPS1 = 1e-3  # Hartree, as for nearly all recorded SHCI energies
EPS2 = 1e-5
SMALL = 31  # correlated orbitals; larger systems use a looser threshold, to be feasible on two cores
LOOSE_EPS1, LOOSE_EPS2 = 1e-2, 1e-4
MOST_DETERMINANTS = 300_000  # of a full CI computed here
_ROOTS = 4  # a solver keeps the symmetry of its start, so the lowest of several roots is used


def systems() -> list[dict[str, Any]]:
    """Return the recorded systems; data/reference_energies.json describes the format."""
    found: list[dict[str, Any]] = json.loads(RECORDED.read_text())["systems"]
    return found


def calculation_of(system: dict[str, Any]) -> Calculation:
    """Return the calculation, with the system's own eps1 or else the default.

    If frozen_core is missing, only Hartree-Fock is recorded.
    """
    basis = system["basis"]
    calculation = Calculation(
        molecule=system["geometry"],
        charge=system["charge"],
        spin=system["spin"],
        basis=basis,
        cartesian=bool(system["cartesian"]),
        frozen_core=_freezes(system),
        eps1=EPS1,
        eps2=EPS2,
    )
    if "eps1" in system:
        return calculation.model_copy(update={"eps1": system["eps1"], "eps2": system["eps1"] / 100})
    if check(calculation).n_correlated_orbitals > SMALL:
        return calculation.model_copy(update={"eps1": LOOSE_EPS1, "eps2": LOOSE_EPS2})
    return calculation


def _freezes(system: dict[str, Any]) -> bool:
    """Return whether the core is frozen: as recorded, or for atoms from scandium on if not recorded, to save time."""
    return bool(system["frozen_core"]) or (system["frozen_core"] is None and system["basis"] == "def2-svp")


def computed(system: dict[str, Any], threads: int, *, exact: bool = True) -> dict[str, Any]:
    """Return the results as in a job; energies in Hartree, times in seconds.

    exact: also compute full CI if none is recorded.
    """
    calculation = calculation_of(system)
    started = time.monotonic()
    results: dict[str, Any] = {"name": system["name"]}
    try:
        size = check(calculation)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            first = run_hartree_fock(calculation, folder / "scf.chk", max_memory_gib=MEMORY_GIB, log=_quiet)
            found = find_solutions(first, folder / "solutions", max_memory_gib=MEMORY_GIB, log=_quiet)
            results |= {"start": first.energy, "lowest": found[0].hf.energy, "solutions": len(found)}
            task = SolverTask(
                fcidump=folder / "FCIDUMP",
                output=folder / "output",
                checkpoint=folder / "checkpoint",
                log=folder / "log",
                threads=threads,
                memory_gib=MEMORY_GIB,
                eps1=calculation.eps1,
                eps2=calculation.eps2,
                n_orbitals=size.n_correlated_orbitals,
                n_electrons=size.n_correlated_electrons,
                spin=calculation.spin,
            )
            hf, reference = choose(
                found,
                task,
                folder / "pilots",
                frozen=size.n_frozen,
                starts_anywhere=True,
                log=_quiet,
                should_stop=lambda: False,
            )
            results |= {"hf": hf.energy} | reference.model_dump(
                mode="json", include={"irrep", "origin", "stability", "first_determinant"}
            )
            proof = write_fcidump(hf, task.fcidump, frozen=size.n_frozen, orbsym=True, max_memory_gib=MEMORY_GIB)
            results |= {"integrals_sha256": proof.sha256}
            task = replace(task, n_orbitals=proof.n_orbitals, first_determinant=occupied(reference.first_determinant))
            first_energy = prove_reference(task, hf.energy)
            energies = solve(pilot_program(), task, on_line=_quiet, on_iteration=lambda _: None)
            prove_energies(task, energies, reference=first_energy)
            if exact and not (system["full_ci"] or {}).get("roots"):
                results |= {"full_ci": full_ci(task)}
    except (InputError, ScfNotConverged, Contradiction, ProgramFailed) as error:
        return results | {"failed": str(error).partition("\n")[0], "seconds": time.monotonic() - started}
    return results | {
        "eps1": calculation.eps1,
        "eps2": calculation.eps2,
        "determinants": energies.determinants,
        "variational": energies.variational_energy,
        "total": energies.total_energy,
        "threshold_error": energies.threshold_error,
        "s_squared": energies.s_squared,
        "seconds": time.monotonic() - started,
    }


def full_ci(task: SolverTask) -> float | None:
    """Return PySCF's lowest energy (Hartree) of any spin with this S_z; None if there are too many determinants."""
    size = math.comb(task.n_orbitals, task.n_alpha) * math.comb(task.n_orbitals, task.n_beta)
    if size > MOST_DETERMINANTS:
        return None
    read = fcidump.read(str(task.fcidump), verbose=False)
    solver = fci.direct_spin1.FCI()
    solver.conv_tol, solver.max_cycle, solver.nroots = 1e-10, 300, min(_ROOTS, size)
    energies = solver.kernel(read["H1"], read["H2"], task.n_orbitals, (task.n_alpha, task.n_beta), ecore=read["ECORE"])[
        0
    ]
    return float(np.min(energies))


def _quiet(_: str) -> None:
    """Discard the log lines of the steps."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a system's name; may be repeated")
    parser.add_argument("--kept", type=Path, default=Path("accuracy.jsonl"))
    parser.add_argument("--write", type=Path, help="write the page of all stored results to this file")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    kept = {}
    if options.kept.exists():
        kept = {one["name"]: one for one in map(json.loads, options.kept.read_text().splitlines())}
    for system in systems():
        name = system["name"]
        if name in kept or (options.only and name not in options.only):
            continue
        kept[name] = computed(system, options.threads)
        with options.kept.open("a") as file:
            file.write(json.dumps(kept[name]) + "\n")
        print(json.dumps(kept[name]), flush=True)
    if options.write:
        options.write.write_text(page(systems(), kept))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
