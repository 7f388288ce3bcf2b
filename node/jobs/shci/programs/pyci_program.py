"""Heat-bath CI with PyCI, as a program: python -m spotwave.node.jobs.shci.programs.pyci_program --help

Selection with |H_ij c_j| > eps1 (Holmes, Tubman, Umrigar, J. Chem. Theory Comput. 12, 3674 (2016)) until the energy is
constant or no determinant is added, then the Epstein-Nesbet second-order correction with eps2. PyCI is GPL-3: only this
module imports it, and it runs in its own process.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyci
from numpy.typing import NDArray

from spotwave.node.jobs.shci.digits import in_digits
from spotwave.node.jobs.shci.programs.base import CheckpointMismatch, Iteration, Stage
from spotwave.node.jobs.shci.programs.davidson import NotConverged, lowest_eigenpair
from spotwave.node.jobs.shci.programs.events import say, tell, tell_iteration
from spotwave.node.jobs.shci.programs.failure import CHILD_DIED
from spotwave.node.jobs.shci.programs.first_determinant_option import add_first_determinant
from spotwave.node.jobs.shci.programs.hci_matrix import HciMatrix, Rows
from spotwave.node.jobs.shci.programs.memory_limit import code_for_lack, limit_memory
from spotwave.node.jobs.shci.programs.snapshot import Snapshot
from spotwave.node.jobs.shci.programs.spin import bits, s_squared

SNAPSHOT = "pyci.npz"
_MAX_ITERATIONS = 60
_STILL = 1e-8  # Hartree between two iterations: later ones would add a few determinants at a time and change nothing
_COARSER = 10.0  # times eps2: a cheap correction to estimate what the threshold neglects
_CHECKED_ROWS = 100
_RESIDUAL = 1e-6  # limit for a stored vector's residual in the eigenproblem; for another Hamiltonian it is far larger


class Calculation:
    """One run: a new one from a single determinant, or the continuation of a snapshot."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._started = time.perf_counter()
        self._options = options
        self._path = Path(options.checkpoint) / SNAPSHOT
        self._alpha = (options.electrons + options.spin) // 2
        self._beta = (options.electrons - options.spin) // 2
        self._ham = pyci.hamiltonian(options.fcidump)
        self._task = {
            "program": "pyci",
            "n_orbitals": int(self._ham.nbasis),
            "n_electrons": options.electrons,
            "spin": options.spin,
            "eps1": options.eps1,
        }
        self._iterations: list[Iteration] = []
        self._first_of_eps1 = 0  # the iteration at which the selection with this eps1 began
        if options.electrons > 2 * self._ham.nbasis or self._beta < 0:
            raise CheckpointMismatch(f"{options.electrons} electrons, spin {options.spin} do not fit the orbitals")
        say(f"{self._ham.nbasis} orbitals, {self._alpha} + {self._beta} electrons, {options.threads} threads")
        say(f"eps1 = {options.eps1:g}, eps2 = {options.eps2:g} Hartree; {self._seconds():.1f} s to read the integrals")

    def run(self) -> None:
        state = self._restore() if self._path.exists() else self._begin()
        wfn = self._wave_function(state.arrays["determinants"])
        if state.stage is Stage.VARIATIONAL:
            state = self._select(state, wfn)
        # Always recomputed: a total energy in a snapshot cannot be verified, and may be of another eps2.
        total_energy, threshold_error = self._correct(state, wfn)
        self._save(replace(state, stage=Stage.FINISHED, total_energy=total_energy))
        square = s_squared(state.arrays["determinants"], state.arrays["coefficients"], self._ham.nbasis)
        tell(
            "result",
            s_squared=square,
            variational_energy=state.energy,
            total_energy=total_energy,
            threshold_error=threshold_error,
            determinants=len(state.arrays["coefficients"]),
            seconds=self._seconds(),
        )
        say(
            f"variational {state.energy:.10f}, total {in_digits(total_energy, threshold_error)} Hartree, "
            f"<S^2> {square:.4f}, {self._seconds():.1f} s"
        )

    def _begin(self) -> Snapshot:
        wfn = pyci.fullci_wfn(self._ham.nbasis, self._alpha, self._beta)
        words = (self._ham.nbasis + 63) // 64
        wfn.add_det(np.array([bits(words, orbitals) for orbitals in self._options.first]))
        matrix = HciMatrix(self._rows, 1)
        matrix.extend(_determinants(wfn))
        energy = float(matrix.diagonal[0]) + self._ham.ecore
        self._count(1, energy)
        state = self._save(self._state(energy, _determinants(wfn), np.ones(1)))
        tell_iteration(self._iterations[-1])
        return state

    def _restore(self) -> Snapshot:
        state = Snapshot.read(self._path)
        state.require(self._task, {"determinants", "coefficients"})
        determinants = state.arrays["determinants"]
        if len(np.unique(determinants.reshape(len(determinants), -1), axis=0)) < len(determinants):
            raise CheckpointMismatch("the checkpoint's wave function contains a determinant twice")
        error = self._residual(state)
        if not error < _RESIDUAL:
            raise CheckpointMismatch(f"the checkpoint's wave function does not solve this Hamiltonian ({error:.1e})")
        self._iterations = list(state.iterations)
        for iteration in self._iterations:
            tell_iteration(iteration)
        last = self._iterations[-1]
        if state.is_coarser_than(self._task):
            say(f"its eps1 was {state.task['eps1']:g}: selection continues with the smaller one")
            self._first_of_eps1 = len(self._iterations) - 1
            state = replace(state, task=self._task, stage=Stage.VARIATIONAL)
        say(
            f"restart after iteration {last.number}: {last.determinants} determinants, {state.energy:.10f} Hartree, "
            f"next is the {state.stage} stage"
        )
        return state

    def _residual(self, state: Snapshot) -> float:
        """Return the largest |H c - E c| of the first rows, which are the determinants nearest to Hartree-Fock."""
        vector = state.arrays["coefficients"]
        rows = min(_CHECKED_ROWS, len(vector))
        values, columns, ends = self._rows(state.arrays["determinants"], rows)
        product = np.add.reduceat(values * vector[columns], ends[:-1])
        expected = (state.energy - self._ham.ecore) * vector[:rows]
        return float(np.abs(product - expected).max())

    def _select(self, state: Snapshot, wfn: Any) -> Snapshot:
        """Grow `wfn` and diagonalise until it is converged. Return its state."""
        matrix = HciMatrix(self._rows, self._options.threads)
        while True:
            vector = state.arrays["coefficients"]
            if self._stands_still():
                say(f"the energy fell by less than {_STILL:g} Hartree: converged")
                return self._save(replace(state, stage=Stage.PERTURBATIVE))
            added = pyci.add_hci(self._ham, wfn, vector, eps=self._options.eps1)
            if not added:
                say("no determinant is above the threshold: converged")
                return self._save(replace(state, stage=Stage.PERTURBATIVE))
            if len(self._iterations) > _MAX_ITERATIONS:
                raise NotConverged(f"determinants are still added after {_MAX_ITERATIONS} iterations; raise eps1")
            determinants = _determinants(wfn)
            matrix.extend(determinants)
            start = np.zeros(len(determinants))
            start[: len(vector)] = vector
            value, vector = lowest_eigenpair(matrix.apply, matrix.diagonal, start)
            energy = value + self._ham.ecore
            self._count(len(determinants), energy, f"{added:+d}, Hamiltonian {matrix.gib:.2f} GiB")
            state = self._save(self._state(energy, determinants, vector))
            tell_iteration(self._iterations[-1])

    def _stands_still(self) -> bool:
        last = [one.variational_energy for one in self._iterations[self._first_of_eps1 :][-2:]]
        return len(last) == 2 and last[0] - last[1] < _STILL

    def _correct(self, state: Snapshot, wfn: Any) -> tuple[float, float | None]:
        """Return the total energy, and an estimate of the part that eps2 neglects; both in Hartree.

        If that part is proportional to eps2, it is (E(k eps2) - E(eps2)) / (k - 1): an order of magnitude. Measured:
        0.8 of the true value for N2, twice the true value for the water dimer (docs/answers.md).
        """
        tell("stage", stage=Stage.PERTURBATIVE)
        eps1, eps2 = self._options.eps1, self._options.eps2
        coarser = min(_COARSER, eps1 / eps2)
        rough = self._pt2(state, wfn, coarser * eps2) if coarser > 1 else None
        total = self._pt2(state, wfn, eps2)
        return total, None if rough is None else abs(rough - total) / (coarser - 1)

    def _pt2(self, state: Snapshot, wfn: Any, eps2: float) -> float:
        say(f"Epstein-Nesbet PT2 of {len(wfn)} determinants with eps2 = {eps2:g} ...")
        return float(pyci.compute_enpt2(self._ham, wfn, state.arrays["coefficients"], state.energy, eps=eps2))

    def _wave_function(self, determinants: NDArray[np.uint64]) -> Any:
        return pyci.fullci_wfn(self._ham.nbasis, self._alpha, self._beta, determinants)

    def _rows(self, determinants: NDArray[np.uint64], count: int) -> Rows:
        """Return the first `count` rows of the Hamiltonian over `determinants`, without the core energy."""
        wfn = self._wave_function(determinants)
        op = pyci.sparse_op(self._ham, wfn, nrow=count, ncol=len(wfn), symmetric=False)
        return np.asarray(op.data()), np.asarray(op.indices()), np.asarray(op.indptr())

    def _count(self, determinants: int, energy: float, remark: str = "first determinant") -> None:
        iteration = Iteration(len(self._iterations), determinants, energy, round(self._seconds(), 3))
        self._iterations.append(iteration)
        say(f"iteration {iteration.number:2d} {determinants:10d} {energy:18.10f} {iteration.seconds:9.1f} s ({remark})")

    def _state(self, energy: float, determinants: NDArray[np.uint64], vector: NDArray[np.float64]) -> Snapshot:
        arrays: dict[str, NDArray[Any]] = {"determinants": determinants, "coefficients": vector}
        return Snapshot(self._task, Stage.VARIATIONAL, energy, arrays, list(self._iterations))

    def _save(self, state: Snapshot) -> Snapshot:
        state.write(self._path)
        return state

    def _seconds(self) -> float:
        return time.perf_counter() - self._started


def _determinants(wfn: Any) -> NDArray[np.uint64]:
    return np.array(wfn.to_det_array(), dtype=np.uint64)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="pyci_program", description=__doc__)
    parser.add_argument("--fcidump", required=True)
    parser.add_argument("--checkpoint", required=True, help="folder; if it has a snapshot, the run continues it")
    parser.add_argument("--electrons", type=int, required=True)
    parser.add_argument("--spin", type=int, default=0, help="2S, the number of unpaired electrons")
    add_first_determinant(parser)
    parser.add_argument("--eps1", type=float, required=True, help="Hartree")
    parser.add_argument("--eps2", type=float, required=True, help="Hartree")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-gib", type=float, default=0.0, help="0: no limit")
    options = parser.parse_args(arguments)
    limit_memory(options.memory_gib)
    pyci.set_num_threads(options.threads)
    tell("program", name="pyci", version=pyci.__version__)
    say(f"PyCI {pyci.__version__} (GPL-3), heat-bath CI")
    try:
        Calculation(options).run()
    except (CheckpointMismatch, NotConverged) as error:
        say(f"error: {error}")
        return 3
    except BrokenProcessPool as error:
        say(f"error: a process that built the Hamiltonian was killed ({error})")
        return CHILD_DIED
    except (MemoryError, OSError, RuntimeError) as error:
        if (code := code_for_lack(error, options.memory_gib, "raise eps1 or eps2")) is not None:
            return code
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
