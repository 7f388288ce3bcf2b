"""What runs on the machine: Hartree-Fock, FCIDUMP, heat-bath CI, each a task that a restart need not repeat."""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger

from node.calculation import BadInput, Calculation, check
from node.checkpoint import CheckpointCorrupt, Manifest
from node.contract import RESULT_FILE, Ending, write_text
from node.desk import Desk, StopAsked
from node.ended import cut_short
from node.fcidump import write_fcidump as write_integrals
from node.fingerprint import IntegralsProof, same_integrals
from node.hartree_fock import (
    DifferentCalculation,
    HartreeFock,
    ScfNotConverged,
    load_hartree_fock,
    run_hartree_fock,
)
from node.own_files import clear_way
from node.programs import program_for
from node.programs.base import (
    CheckpointMismatch,
    Energies,
    OutputUnreadable,
    ProgramFailed,
    ProgramMissing,
    SolverStopped,
    SolverTask,
)
from node.programs.run import solve
from node.shci_watch import SolverWatch

SCF_FILE = "scf.chk"
PROGRAM_DIR = "program"
FCIDUMP = "FCIDUMP"
ITERATIONS_FILE = "iterations.csv"
VARIATIONAL_TOLERANCE = 1e-8  # Hartree; a resumed run may not end above its checkpoint by more

# A failure of the calculation itself: another machine would fail in the same way.
Mistake = (
    BadInput,
    ScfNotConverged,
    DifferentCalculation,
    CheckpointCorrupt,
    CheckpointMismatch,
    ProgramMissing,
    ProgramFailed,
    OutputUnreadable,
)


class Bench:
    """The calculation on its desk: what the tasks share, and what a checkpoint of it holds."""

    def __init__(self, desk: Desk, calculation: Calculation) -> None:
        self.desk = desk
        self.calculation = calculation
        self.size = check(calculation)
        self.facts: dict[str, Any] = {"seconds": {}}
        self.before: Manifest | None = desk.restored()
        if self.before is not None:
            self.facts |= {"seconds": dict(self.before.facts.get("seconds", {}))}
        self.fcidump = desk.scratch / FCIDUMP
        self.scf = desk.scratch / SCF_FILE
        self.solver = SolverTask(
            fcidump=self.fcidump,
            output=desk.scratch / "solver",
            checkpoint=desk.scratch / PROGRAM_DIR,
            log=desk.output / "shci.log",
            threads=desk.brief.vcpus,
            memory_gib=self.memory_gib,
            eps1=calculation.eps1,
            eps2=calculation.eps2,
            n_orbitals=self.size.n_correlated_orbitals,
            n_electrons=self.size.n_correlated_electrons,
            spin=calculation.spin,
            command=calculation.command,
        )

    @property
    def memory_gib(self) -> float:
        """What one step may use; the rest is for the operating system, the agent and the worker."""
        return max(0.5, 0.75 * self.desk.brief.memory_gib)

    def seal(self, step: str, files: dict[str, Path] | None = None) -> None:
        """A checkpoint of all that is expensive and small."""
        self.desk.seal(step, {SCF_FILE: self.scf, **(files or {})}, self.facts)

    def spent(self, step: str, seconds: float) -> None:
        """Wall seconds of a step, added over the attempts."""
        total = self.facts["seconds"].get(step, 0.0) + seconds
        self.facts["seconds"][step] = round(total, 3)


@flow(name="shci-node", log_prints=False)
def shci_node(job_key: str, attempt: int, calculation: Calculation) -> State[Any] | dict[str, Any]:
    """One attempt at an SHCI calculation, on the machine that was launched for it.

    Goes on from the checkpoint that the agent has restored. Ends as Crashed("Interrupted") with a checkpoint
    when the agent asks it to, as Failed with one line when the calculation itself cannot be done (node.ended).
    """
    desk = Desk()
    log = get_run_logger()
    log.info("attempt %d of %s on %s, %d threads", attempt, job_key, platform.node(), desk.brief.vcpus)
    try:
        desk.go_on()
        bench = Bench(desk, calculation)
        mean_field = hartree_fock(bench)
        desk.go_on()
        proof = write_fcidump(bench, mean_field)
        desk.go_on()
        energies = run_shci(bench)
        result = _write_result(bench, mean_field, proof, energies)
    except (TerminationSignal, Exception) as error:
        state = cut_short(desk, error, (TerminationSignal, SolverStopped, StopAsked), Mistake)
        if state is None:
            raise
        return state
    desk.tell("done", 100, f"{energies.total_energy:.8f} Ha")
    desk.end(Ending.COMPLETED, f"total energy {energies.total_energy:.8f} Ha")
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


@task(name="write_fcidump", cache_policy=NO_CACHE)
def write_fcidump(bench: Bench, mean_field: HartreeFock) -> IntegralsProof:
    """The integral file: too big to keep and quick to make, so made anew, and proven to be the same."""
    begun = time.monotonic()
    bench.desk.tell("write_fcidump", 10, f"{bench.size.n_orbitals} orbitals")
    proof = write_integrals(mean_field, bench.fcidump, frozen=bench.size.n_frozen, max_memory_gib=bench.memory_gib)
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
    _prove_descent(bench, energies)
    _write_iterations(bench, energies)
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


def _write_iterations(bench: Bench, energies: Energies) -> None:
    rows = [(i.number, i.determinants, i.variational_energy, i.seconds) for i in energies.iterations]
    names = {"iteration": pl.Int64, "determinants": pl.Int64, "variational_energy": pl.Float64, "seconds": pl.Float64}
    clear_way(bench.desk.output / ITERATIONS_FILE)
    pl.DataFrame(rows, schema=names, orient="row").write_csv(bench.desk.output / ITERATIONS_FILE)


def _write_result(bench: Bench, hf: HartreeFock, proof: IntegralsProof, energies: Energies) -> dict[str, Any]:
    """output/result.json; energies in Hartree, geometry in Bohr, times in seconds of all attempts together."""
    calculation, size = bench.calculation, bench.size
    result: dict[str, Any] = {
        "parameters": calculation.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("prefect", "pyscf", "numpy", "polars")}
        | {"python": platform.python_version(), "program": f"{energies.program} {energies.version}"},
        "geometry": [
            {"element": hf.mol.atom_pure_symbol(i), "bohr": [float(x) for x in hf.mol.atom_coord(i)]}
            for i in range(size.n_atoms)
        ],
        "orbitals": size.n_orbitals,
        "electrons": size.n_electrons,
        "frozen_core_orbitals": size.n_frozen,
        "nuclear_repulsion": hf.nuclear_repulsion,
        "rhf_energy": hf.energy,
        "integrals_sha256": proof.sha256,
        "eps1": calculation.eps1,
        "eps2": calculation.eps2,
        "determinants": energies.determinants,
        "variational_energy": energies.variational_energy,
        "total_energy": energies.total_energy,
        "error_bar": energies.error_bar,
        "note": energies.note,
        "wall_seconds": bench.facts["seconds"],
    }
    clear_way(bench.desk.work / RESULT_FILE)  # the program has ended: whatever it put there, this is the result
    write_text(bench.desk.work / RESULT_FILE, json.dumps(result, indent=1) + "\n")
    return result
