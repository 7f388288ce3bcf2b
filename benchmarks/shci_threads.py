"""Speedup of the PyCI program with two threads, compared with one.

    python -m benchmarks.shci_threads [--rounds 3] [--basis 6-31g] [--eps1 2e-3] [--eps2 1e-5]

Measures whole program runs, process start included, in turns: selection, diagonalisation and PT2 of the water dimer.
Both must give the same energies. Prints `shci_threads_speedup`, the ratio of the medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import IntegralsProof, write_fcidump
from spotwave.node.jobs.shci.programs.base import Energies, SolverTask
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.scf.hartree_fock import run_hartree_fock


def run(calculation: Calculation, proof: IntegralsProof, folder: Path, threads: int) -> tuple[float, Energies]:
    """Return wall seconds and energies of one run without a checkpoint."""
    own = folder / f"threads{threads}"
    shutil.rmtree(own, ignore_errors=True)
    task = SolverTask(
        fcidump=folder / "FCIDUMP",
        output=own / "output",
        checkpoint=own / "checkpoint",
        log=own / "log",
        threads=threads,
        memory_gib=8.0,
        eps1=calculation.eps1,
        eps2=calculation.eps2,
        n_orbitals=proof.n_orbitals,
        n_electrons=proof.n_electrons,
        spin=proof.spin,
    )
    started = time.perf_counter()
    energies = solve(PyCI(), task, on_line=lambda line: None, on_iteration=lambda iteration: None)
    return time.perf_counter() - started, energies


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--basis", default="6-31g")
    parser.add_argument("--eps1", type=float, default=2e-3)
    parser.add_argument("--eps2", type=float, default=1e-5)
    options = parser.parse_args(arguments)
    calculation = Calculation(basis=options.basis, eps1=options.eps1, eps2=options.eps2)
    times: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hf = run_hartree_fock(calculation, folder / "scf.chk", max_memory_gib=2.0, log=lambda line: None)
        proof = write_fcidump(hf, folder / "FCIDUMP", frozen=0, max_memory_gib=2.0)
        for _ in range(options.rounds):
            totals = []
            for threads, measured in times.items():
                seconds, energies = run(calculation, proof, folder, threads)
                measured.append(seconds)
                totals.append(energies.total_energy)
            print(f"# {energies.determinants} determinants, total energies {totals[0]:.10f} and {totals[1]:.10f}")
            if abs(totals[0] - totals[1]) > 1e-8:
                print("# the energies differ: no figure")
                return 1
    one, two = (statistics.median(times[threads]) for threads in (1, 2))
    print(f"shci_seconds_1_thread {one:.2f}")
    print(f"shci_seconds_2_threads {two:.2f}")
    print(f"shci_threads_speedup {one / two:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
