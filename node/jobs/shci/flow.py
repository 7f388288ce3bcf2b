"""What runs on the machine: Hartree-Fock, FCIDUMP, heat-bath CI, each a task that a restart need not repeat."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger

from spotwave.node.contract import Ending
from spotwave.node.jobs.shci.calculation import BadInput, Calculation
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
    ProgramFailed,
    ProgramMissing,
    SolverStopped,
)
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.result import write_iterations, write_result
from spotwave.node.jobs.shci.scf.hartree_fock import (
    DifferentCalculation,
    HartreeFock,
    ScfNotConverged,
    load_hartree_fock,
    run_hartree_fock,
)
from spotwave.node.jobs.shci.scf.solutions import find_solutions
from spotwave.node.jobs.shci.shci_run import FCIDUMP, PROGRAM_DIR, SCF_FILE, Bench
from spotwave.node.jobs.shci.watch import SolverWatch
from spotwave.node.runtime.interruption import cut_short
from spotwave.node.runtime.workspace import Desk, StopAsked
from spotwave.node.storage.checkpoint import CheckpointCorrupt
from spotwave.node.untrusted.own_files import clear_way

ITERATIONS_FILE = "iterations.csv"
VARIATIONAL_TOLERANCE = 1e-8  # Hartree; a resumed run may not end above its checkpoint by more

# A failure of the calculation itself: another machine would fail in the same way.
Mistake = (
    BadInput,
    ScfNotConverged,
    Contradiction,
    DifferentCalculation,
    CheckpointCorrupt,
    CheckpointMismatch,
    ProgramMissing,
    ProgramFailed,
    OutputUnreadable,
)


@flow(name="shci-node", log_prints=False)
def shci_node(job_key: str, attempt: int, calculation: Calculation) -> State[Any] | dict[str, Any]:
    """One attempt at an SHCI calculation, on the machine that was launched for it.

    Goes on from the checkpoint that the agent has restored. Ends as Crashed("Interrupted") with a checkpoint
    when the agent asks it to, as Failed with one line when the calculation itself cannot be done
    (node.runtime.interruption).
    """
    desk = Desk()
    log = get_run_logger()
    log.info("attempt %d of %s on %s, %d threads", attempt, job_key, platform.node(), desk.brief.vcpus)
    try:
        desk.go_on()
        bench = Bench(desk, calculation)
        mean_field = hartree_fock(bench)
        desk.go_on()
        mean_field = choose_reference(bench, mean_field)
        desk.go_on()
        proof = write_fcidump(bench, mean_field)
        desk.go_on()
        energies = run_shci(bench)
        result = write_result(bench, mean_field, proof, energies)
    except (TerminationSignal, Exception) as error:
        state = cut_short(desk, error, (TerminationSignal, SolverStopped, StopAsked), Mistake)
        if state is None:
            raise
        return state
    desk.tell("done", 100, f"{energies.in_words} Ha")
    desk.end(Ending.COMPLETED, f"total energy {energies.in_words} Ha")
    return result


@task(name="hartree_fock", cache_policy=NO_CACHE)
def hartree_fock(bench: Bench) -> HartreeFock:
    """The mean field: computed, or proven to be that of the checkpoint."""
    log = get_run_logger()
    # Each step is told when it begins: a machine that dies in it, or is too small for it, is told with its name.
    bench.desk.tell("hartree_fock", 1, f"{bench.size.n_orbitals} orbitals")
    kept = bench.desk.take(SCF_FILE, bench.scf)
    if kept is not None:
        mean_field = load_hartree_fock(bench.calculation, kept, max_memory_gib=bench.memory_gib)
        log.info("taken from the checkpoint, energy %.10f Ha confirmed by one Fock build", mean_field.energy)
    else:
        mean_field = run_hartree_fock(bench.calculation, bench.scf, max_memory_gib=bench.memory_gib, log=log.info)
        bench.spent("hartree_fock", mean_field.seconds)
        bench.seal("hartree_fock")
        if not bench.desk.until_saved():
            log.warning("the checkpoint is not on the remote yet; going on")
    bench.facts["rhf_energy"] = mean_field.energy
    bench.desk.tell("hartree_fock", 10, f"{mean_field.energy:.10f} Ha")
    return mean_field


@task(name="choose_reference", cache_policy=NO_CACHE)
def choose_reference(bench: Bench, mean_field: HartreeFock) -> HartreeFock:
    """The stability of the mean field, and another in its place where a pilot calculation says that it is better."""
    log = get_run_logger()
    bench.desk.tell("choose_reference", 10, "stability")
    if bench.reference is not None:
        log.info("%s of the checkpoint", mean_field.method)
        return mean_field
    begun = time.monotonic()
    solutions = find_solutions(
        mean_field, bench.desk.scratch / "solutions", max_memory_gib=bench.memory_gib, log=log.info
    )
    bench.desk.go_on()
    kept, bench.reference = choose(
        solutions,
        bench.solver,
        bench.desk.scratch / "pilots",
        frozen=bench.size.n_frozen,
        starts_anywhere=program_for(bench.calculation).starts_anywhere,
        log=log.info,
        should_stop=lambda: bench.desk.stop_asked() is not None,
    )
    if bench.reference.note:
        log.warning(bench.reference.note)
    bench.spent("choose_reference", time.monotonic() - begun)
    if kept is mean_field:
        return kept
    kept.chkfile.replace(bench.scf)
    bench.facts["rhf_energy"] = kept.energy
    bench.seal("choose_reference")
    return replace(kept, chkfile=bench.scf)


@task(name="write_fcidump", cache_policy=NO_CACHE)
def write_fcidump(bench: Bench, mean_field: HartreeFock) -> IntegralsProof:
    """The integral file: too big to keep and quick to make, so made anew, and proven to be the same."""
    begun = time.monotonic()
    bench.desk.tell("write_fcidump", 10, f"{bench.size.n_orbitals} orbitals")
    proof = write_integrals(
        mean_field, bench.fcidump, frozen=bench.size.n_frozen, orbsym=True, max_memory_gib=bench.memory_gib
    )
    # As many as the SCF has kept: of functions that depend on each other it drops some.
    assert bench.reference is not None, "it is chosen before there are integrals"
    first = occupied(bench.reference.first_determinant)
    bench.solver = replace(bench.solver, n_orbitals=proof.n_orbitals, first_determinant=first)
    bench.facts["first_determinant_energy"] = prove_reference(bench.solver, mean_field.energy)
    bench.spent("write_fcidump", time.monotonic() - begun)
    told = bench.before.facts.get("integrals") if bench.before else None
    if told is not None and not same_integrals(IntegralsProof.from_dict(told), proof):
        raise DifferentCalculation("the integrals are not those of the checkpoint: other geometry, basis or orbitals")
    bench.facts["integrals"] = proof.to_dict()
    size_mb = bench.fcidump.stat().st_size / 1e6
    note = f"{proof.n_orbitals} orbitals, {proof.n_electrons} electrons, {size_mb:.1f} MB"
    get_run_logger().info("%s, sha256 %s", note, proof.sha256[:16])
    bench.desk.tell("write_fcidump", 20, note)
    if bench.calculation.keep_fcidump:
        clear_way(bench.desk.output / FCIDUMP)
        (bench.desk.output / FCIDUMP).unlink(missing_ok=True)
        (bench.desk.output / FCIDUMP).hardlink_to(bench.fcidump)
    return proof


@task(name="run_shci", cache_policy=NO_CACHE)
def run_shci(bench: Bench) -> Energies:
    """The SHCI program, its output in this log and in output/shci.log, its checkpoints sealed as they appear."""
    log = get_run_logger()
    program = program_for(bench.calculation)
    begun = time.monotonic()
    bench.desk.tell("run_shci", 20, bench.calculation.program)
    _take_back(bench)
    # The integrals' proof is a fact worth keeping before the first iteration is. Where it is kept already, a checkpoint
    # would say nothing new, and a job whose program dies again and again would seem to get on.
    if bench.before is None or "integrals" not in bench.before.facts:
        bench.seal("run_shci", _named(bench, program.checkpoint_files(bench.solver)))

    def seal(files: list[Path], energy: float | None) -> None:
        if energy is not None:
            bench.facts["variational_energy"] = energy
        bench.seal("run_shci", _named(bench, files))

    watch = SolverWatch(
        program,
        bench.solver,
        log=log.info,
        tell=lambda percent, note: bench.desk.tell("run_shci", 20 + 0.8 * percent, note),
        seal=seal,
        asked_to_stop=lambda: bench.desk.stop_asked() is not None,
    )
    energies = solve(
        program, bench.solver, on_line=watch.line, on_iteration=watch.iteration, should_stop=watch.should_stop
    )
    bench.spent("run_shci", time.monotonic() - begun)
    warning = of_another_spin(bench.solver, energies)
    if warning is not None:
        log.warning(warning)
    prove_energies(bench.solver, energies, reference=bench.facts["first_determinant_energy"])
    _prove_descent(bench, energies)
    write_iterations(bench.desk.output / ITERATIONS_FILE, energies)
    return energies


def _take_back(bench: Bench) -> None:
    """The program's own files out of the restored checkpoint."""
    for name in bench.before.files if bench.before else ():
        if name.startswith(f"{PROGRAM_DIR}/"):
            bench.desk.take(name, bench.solver.checkpoint / name.removeprefix(f"{PROGRAM_DIR}/"))


def _named(bench: Bench, files: list[Path]) -> dict[str, Path]:
    """The program's checkpoint files under their names in ours."""
    return {f"{PROGRAM_DIR}/{file.relative_to(bench.solver.checkpoint).as_posix()}": file for file in files}


def _prove_descent(bench: Bench, energies: Energies) -> None:
    """The variational energy only falls: above the checkpoint's, it would be another calculation."""
    before = bench.before.facts.get("variational_energy") if bench.before else None
    if before is not None and energies.variational_energy > before + VARIATIONAL_TOLERANCE:
        raise DifferentCalculation(
            f"the variational energy {energies.variational_energy:.10f} Ha is above the checkpoint's {before:.10f} Ha"
        )
