"""PySCF's selected CI as a program: python -m spotwave.node.jobs.shci.programs.pyscf_program --help

Unlike heat-bath CI it selects alpha and beta strings and takes all their products, so it needs many more determinants
for the same threshold. It has no second-order correction: the total energy is the variational one. eps1 is used for
both of its cut-offs (integral times coefficient, and coefficient).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyscf
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1, selected_ci
from pyscf.tools import fcidump

from spotwave.node.jobs.shci.programs.base import CheckpointMismatch, Iteration, Stage
from spotwave.node.jobs.shci.programs.davidson import NotConverged, lowest_eigenpair
from spotwave.node.jobs.shci.programs.events import say, tell, tell_iteration
from spotwave.node.jobs.shci.programs.first_determinant_option import add_first_determinant
from spotwave.node.jobs.shci.programs.memory_limit import code_for_lack, limit_memory
from spotwave.node.jobs.shci.programs.snapshot import Snapshot

SNAPSHOT = "pyscf.npz"
_NOTE = (
    "PySCF's selected CI is used instead of heat-bath CI: it selects strings, not determinants, and has no "
    "perturbative correction, so the total energy is the variational one and eps2 is not used."
)
_MAX_ITERATIONS = 60
_CONVERGED = 1e-8  # Hartree between iterations
_SAME_ENERGY = 1e-8  # Hartree: allowed difference of <c|H|c> of a snapshot and its energy

Strings = tuple[NDArray[np.int64], NDArray[np.int64]]


class Calculation:
    """One run, new or continued."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._started = time.perf_counter()
        self._path = Path(options.checkpoint) / SNAPSHOT
        self._nelec = ((options.electrons + options.spin) // 2, (options.electrons - options.spin) // 2)
        self._first = options.first
        if self._nelec[1] < 1:
            raise CheckpointMismatch("PySCF's selected CI needs an electron of each spin; choose another program")
        dump = fcidump.read(options.fcidump, verbose=False)
        self._n = int(dump["NORB"])
        self._core, self._one, self._two = float(dump.get("ECORE", 0.0)), dump["H1"], dump["H2"]
        absorbed = direct_spin1.absorb_h1e(self._one, self._two, self._n, self._nelec, 0.5)
        self._absorbed = ao2mo.restore(1, absorbed, self._n)
        self._solver = selected_ci.SelectedCI()
        self._solver.select_cutoff = self._solver.ci_coeff_cutoff = options.eps1
        self._task = {
            "program": "pyscf",
            "n_orbitals": self._n,
            "n_electrons": options.electrons,
            "spin": options.spin,
            "eps1": options.eps1,
        }
        self._iterations: list[Iteration] = []

    def run(self) -> None:
        vector, energy, done = self._restore() if self._path.exists() else self._begin()
        everything = tuple(cistring.num_strings(self._n, electrons) for electrons in self._nelec)
        while not done:
            if len(self._iterations) > _MAX_ITERATIONS:
                raise NotConverged(f"strings are still added after {_MAX_ITERATIONS} iterations; raise eps1")
            before = energy
            vector, energy = self._solve(self._solver.enlarge_space(vector, self._absorbed, self._n, self._nelec))
            done = abs(energy - before) < _CONVERGED or vector.shape == everything
            self._count(vector, energy)
            self._save(vector, energy, Stage.FINISHED if done else Stage.VARIATIONAL)
            tell_iteration(self._iterations[-1])
        tell("result", variational_energy=energy, total_energy=energy, determinants=int(vector.size))
        say(f"variational {energy:.10f} Hartree, {self._seconds():.1f} s")

    def _begin(self) -> tuple[Any, float, bool]:
        alpha, beta = (np.asarray([sum(1 << orbital for orbital in one)], dtype=np.int64) for one in self._first)
        vector, energy = self._solve(_vector(np.ones((1, 1)), (alpha, beta)))
        self._count(vector, energy)
        self._save(vector, energy, Stage.VARIATIONAL)
        tell_iteration(self._iterations[-1])
        return vector, energy, False

    def _restore(self) -> tuple[Any, float, bool]:
        snapshot = Snapshot.read(self._path)
        snapshot.require(self._task, {"alpha", "beta", "coefficients"})
        strings = snapshot.arrays["alpha"], snapshot.arrays["beta"]
        vector = _vector(snapshot.arrays["coefficients"], strings)
        if vector.shape != (len(strings[0]), len(strings[1])):
            raise CheckpointMismatch("the checkpoint's strings and coefficients differ in number")
        energy = float(np.vdot(vector, self._apply(strings)(np.asarray(vector).ravel()))) + self._core
        if not abs(energy - snapshot.energy) < _SAME_ENERGY:
            raise CheckpointMismatch(f"its wave function has {energy:.10f} Hartree here, not {snapshot.energy:.10f}")
        self._iterations = list(snapshot.iterations)
        for iteration in self._iterations:
            tell_iteration(iteration)
        say(f"restart after iteration {self._iterations[-1].number}: {snapshot.energy:.10f} Hartree")
        finished = snapshot.stage is Stage.FINISHED and not snapshot.is_coarser_than(self._task)
        return vector, snapshot.energy, finished

    def _solve(self, start: Any) -> tuple[Any, float]:
        strings = start._strs
        diagonal = self._solver.make_hdiag(self._one, self._two, strings, self._n, self._nelec)
        value, vector = lowest_eigenpair(self._apply(strings), diagonal, np.asarray(start).ravel())
        return _vector(vector.reshape(start.shape), strings), value + self._core

    def _apply(self, strings: Strings) -> Any:
        links = selected_ci._all_linkstr_index(strings, self._n, self._nelec)
        shape = len(strings[0]), len(strings[1])

        def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            trial = _vector(vector.reshape(shape).copy(), strings)
            return np.asarray(selected_ci.contract_2e(self._absorbed, trial, self._n, self._nelec, links)).ravel()

        return apply

    def _count(self, vector: Any, energy: float) -> None:
        iteration = Iteration(len(self._iterations), int(vector.size), energy, round(self._seconds(), 3))
        self._iterations.append(iteration)
        say(f"iteration {iteration.number:2d} {vector.size:10d} {energy:18.10f} {iteration.seconds:9.1f} s")

    def _save(self, vector: Any, energy: float, stage: Stage) -> None:
        alpha, beta = vector._strs
        arrays = {"alpha": np.asarray(alpha), "beta": np.asarray(beta), "coefficients": np.asarray(vector)}
        total = energy if stage is Stage.FINISHED else None
        Snapshot(self._task, stage, energy, arrays, list(self._iterations), total).write(self._path)

    def _seconds(self) -> float:
        return time.perf_counter() - self._started


def _vector(coefficients: NDArray[np.float64], strings: Strings) -> Any:
    return selected_ci._as_SCIvector(coefficients, strings)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="pyscf_program", description=__doc__)
    parser.add_argument("--fcidump", required=True)
    parser.add_argument("--checkpoint", required=True, help="folder; if it has a snapshot, the run continues it")
    parser.add_argument("--electrons", type=int, required=True)
    parser.add_argument("--spin", type=int, default=0, help="2S, the number of unpaired electrons")
    add_first_determinant(parser)
    parser.add_argument("--eps1", type=float, required=True, help="Hartree")
    parser.add_argument("--memory-gib", type=float, default=0.0, help="0: no limit")
    options = parser.parse_args(arguments)
    limit_memory(options.memory_gib)
    tell("program", name="pyscf", version=pyscf.__version__)
    tell("note", text=_NOTE)
    say(f"PySCF {pyscf.__version__}. {_NOTE}")
    try:
        Calculation(options).run()
    except (CheckpointMismatch, NotConverged) as error:
        say(f"error: {error}")
        return 3
    except (MemoryError, OSError, RuntimeError) as error:
        if (code := code_for_lack(error, options.memory_gib, "raise eps1")) is not None:
            return code
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
