"""Node flow of an SHCI job: Hartree-Fock, FCIDUMP, heat-bath CI. Each is a task that a restart need not repeat."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import write_fcidump as write_integrals
from spotwave.node.jobs.shci.integrals_proof import IntegralsProof, same_integrals
from spotwave.node.jobs.shci.invariants import (
    Contradiction,
    of_another_spin,
    prove_energies,
    prove_reference,
)
from spotwave.node.jobs.shci.pilot import choose, occupied
from spotwave.node.jobs.shci.programs import program_for
from spotwave.node.jobs.shci.programs.base import (
    CheckpointMismatch,
    Energies,
    OutputUnreadable,
    ProgramMissing,
)
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.result import result_of, write_iterations
from spotwave.node.jobs.shci.scf.hartree_fock import (
    DifferentCalculation,
    HartreeFock,
    ScfNotConverged,
    load_hartree_fock,
    run_hartree_fock,
)
from spotwave.node.jobs.shci.scf.solutions import find_solutions
from spotwave.node.jobs.shci.shci_run import FCIDUMP, PROGRAM_DIR, SCF_FILE, ShciRun
from spotwave.node.jobs.shci.watch import SolverWatch
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.run import node_job
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.untrusted.own_files import clear_way

ITERATIONS_FILE = "iterations.csv"
VARIATIONAL_TOLERANCE = 1e-8  # Hartree; the final energy of a resumed run must not exceed its checkpoint's by more

# Errors of the calculation itself: another machine would fail in the same way.
Mistake = (
    InputError,
    ScfNotConverged,
    Contradiction,
    DifferentCalculation,
    CheckpointMismatch,
    ProgramMissing,
    ProgramFailed,
    OutputUnreadable,
)


@node_job("shci-node", errors=Mistake)
def shci_node(workspace: Workspace, calculation: Calculation) -> dict[str, Any]:
    """Run one attempt of an SHCI calculation, resuming from the checkpoint that the agent has restored."""
    run = ShciRun(workspace, calculation)
    mean_field = hartree_fock(run)
    workspace.go_on()
    mean_field = choose_reference(run, mean_field)
    workspace.go_on()
    proof = write_fcidump(run, mean_field)
    workspace.go_on()
    energies = run_shci(run)
    return result_of(run, mean_field, proof, energies)


@task(name="hartree_fock", cache_policy=NO_CACHE)
def hartree_fock(run: ShciRun) -> HartreeFock:
    """Compute the mean field, or load it from the checkpoint and verify that it belongs to the calculation."""
    log = get_run_logger()
    # Report each step when it begins, so that the outcome of a machine that is lost or too small names the step.
    run.workspace.tell("hartree_fock", 1, f"{run.size.n_orbitals} orbitals")
    kept = run.workspace.take(SCF_FILE, run.scf)
    if kept is not None:
        mean_field = load_hartree_fock(run.calculation, kept, max_memory_gib=run.memory_gib)
        log.info("taken from the checkpoint, energy %.10f Ha confirmed by one Fock build", mean_field.energy)
    else:
        mean_field = run_hartree_fock(run.calculation, run.scf, max_memory_gib=run.memory_gib, log=log.info)
        run.spent("hartree_fock", mean_field.seconds)
        run.seal("hartree_fock")
        if not run.workspace.until_saved():
            log.warning("the checkpoint is not on the remote yet; continuing")
    run.facts["rhf_energy"] = mean_field.energy
    run.workspace.tell("hartree_fock", 10, f"{mean_field.energy:.10f} Ha")
    return mean_field


@task(name="choose_reference", cache_policy=NO_CACHE)
def choose_reference(run: ShciRun, mean_field: HartreeFock) -> HartreeFock:
    """Analyse the stability of the mean field, and replace it if a pilot calculation shows that another is better."""
    log = get_run_logger()
    run.workspace.tell("choose_reference", 10, "stability")
    if run.reference is not None:
        log.info("using the %s reference of the checkpoint", mean_field.method)
        return mean_field
    begun = time.monotonic()
    solutions = find_solutions(
        mean_field, run.workspace.scratch / "solutions", max_memory_gib=run.memory_gib, log=log.info
    )
    run.workspace.go_on()
    kept, run.reference = choose(
        solutions,
        run.solver,
        run.workspace.scratch / "pilots",
        frozen=run.size.n_frozen,
        starts_anywhere=program_for(run.calculation).starts_anywhere,
        log=log.info,
        should_stop=lambda: run.workspace.stop_asked() is not None,
    )
    if run.reference.note:
        log.warning(run.reference.note)
    run.spent("choose_reference", time.monotonic() - begun)
    if kept is mean_field:
        return kept
    kept.chkfile.replace(run.scf)
    run.facts["rhf_energy"] = kept.energy
    run.seal("choose_reference")
    return replace(kept, chkfile=run.scf)


@task(name="write_fcidump", cache_policy=NO_CACHE)
def write_fcidump(run: ShciRun, mean_field: HartreeFock) -> IntegralsProof:
    """Write the integral file. It is too large to keep and quick to compute, so it is recomputed and compared."""
    begun = time.monotonic()
    run.workspace.tell("write_fcidump", 10, f"{run.size.n_orbitals} orbitals")
    proof = write_integrals(
        mean_field, run.fcidump, frozen=run.size.n_frozen, orbsym=True, max_memory_gib=run.memory_gib
    )
    # Number of orbitals that the SCF kept: it drops linearly dependent functions.
    assert run.reference is not None, "the reference is chosen before the integrals are written"
    first = occupied(run.reference.first_determinant)
    run.solver = replace(run.solver, n_orbitals=proof.n_orbitals, first_determinant=first)
    run.facts["first_determinant_energy"] = prove_reference(run.solver, mean_field.energy)
    run.spent("write_fcidump", time.monotonic() - begun)
    stored = run.before.facts.get("integrals") if run.before else None
    if stored is not None and not same_integrals(IntegralsProof.from_dict(stored), proof):
        raise DifferentCalculation("the integrals differ from the checkpoint's: other geometry, basis or orbitals")
    run.facts["integrals"] = proof.to_dict()
    size_mb = run.fcidump.stat().st_size / 1e6
    note = f"{proof.n_orbitals} orbitals, {proof.n_electrons} electrons, {size_mb:.1f} MB"
    get_run_logger().info("%s, sha256 %s", note, proof.sha256[:16])
    run.workspace.tell("write_fcidump", 20, note)
    if run.calculation.keep_fcidump:
        clear_way(run.workspace.output / FCIDUMP)
        (run.workspace.output / FCIDUMP).unlink(missing_ok=True)
        (run.workspace.output / FCIDUMP).hardlink_to(run.fcidump)
    return proof


@task(name="run_shci", cache_policy=NO_CACHE)
def run_shci(run: ShciRun) -> Energies:
    """Run the SHCI program. Log its output, also to output/shci.log, and seal its checkpoints as they appear."""
    log = get_run_logger()
    program = program_for(run.calculation)
    begun = time.monotonic()
    run.workspace.tell("run_shci", 20, run.calculation.program)
    _restore_program_files(run)
    # Seal the integrals' proof before the first iteration, unless the checkpoint already has it: then a new checkpoint
    # would contain nothing new, and a job whose program crashes repeatedly would seem to make progress.
    if run.before is None or "integrals" not in run.before.facts:
        run.seal("run_shci", _named(run, program.checkpoint_files(run.solver)))

    def seal(files: list[Path], energy: float | None) -> None:
        if energy is not None:
            run.facts["variational_energy"] = energy
        run.seal("run_shci", _named(run, files))

    watch = SolverWatch(
        program,
        run.solver,
        log=log.info,
        tell=lambda percent, note: run.workspace.tell("run_shci", 20 + 0.8 * percent, note),
        seal=seal,
        asked_to_stop=lambda: run.workspace.stop_asked() is not None,
    )
    energies = solve(
        program, run.solver, on_line=watch.line, on_iteration=watch.iteration, should_stop=watch.should_stop
    )
    run.spent("run_shci", time.monotonic() - begun)
    warning = of_another_spin(run.solver, energies)
    if warning is not None:
        log.warning(warning)
    prove_energies(run.solver, energies, reference=run.facts["first_determinant_energy"])
    _prove_descent(run, energies)
    write_iterations(run.workspace.output / ITERATIONS_FILE, energies)
    return energies


def _restore_program_files(run: ShciRun) -> None:
    """Copy the program's own files from the restored checkpoint."""
    for name in run.before.files if run.before else ():
        if name.startswith(f"{PROGRAM_DIR}/"):
            run.workspace.take(name, run.solver.checkpoint / name.removeprefix(f"{PROGRAM_DIR}/"))


def _named(run: ShciRun, files: list[Path]) -> dict[str, Path]:
    """Return the program's checkpoint files under their names in the sealed checkpoint."""
    return {f"{PROGRAM_DIR}/{file.relative_to(run.solver.checkpoint).as_posix()}": file for file in files}


def _prove_descent(run: ShciRun, energies: Energies) -> None:
    """Check that the variational energy is not above the checkpoint's, as in any continuation of the calculation."""
    before = run.before.facts.get("variational_energy") if run.before else None
    if before is not None and energies.variational_energy > before + VARIATIONAL_TOLERANCE:
        raise DifferentCalculation(
            f"the variational energy {energies.variational_energy:.10f} Ha is above the checkpoint's {before:.10f} Ha"
        )
