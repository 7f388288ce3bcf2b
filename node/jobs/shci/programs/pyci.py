"""Driver of PyCI's heat-bath CI. PyCI's licence (GPL-3) requires a separate process."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from spotwave.node.jobs.shci.programs.base import ProgramMissing, SolverTask
from spotwave.node.jobs.shci.programs.bundled import BundledProgram
from spotwave.node.jobs.shci.programs.first_determinant_option import first_determinant_options

SNAPSHOT = "pyci.npz"


class PyCI(BundledProgram):
    """The default program: selection to convergence, Epstein-Nesbet PT2, a checkpoint at each iteration."""

    name = "pyci"
    snapshot = SNAPSHOT

    def check_present(self) -> None:
        if find_spec("pyci") is None:  # without importing it
            raise ProgramMissing(
                "program pyci: the package qc-pyci is not installed here. Install it (wheels exist for Linux on x86-64 "
                "and arm64), or choose the program 'pyscf'"
            )

    def prepare(self, task: SolverTask) -> list[str]:
        return [
            *(sys.executable, "-m", "spotwave.node.jobs.shci.programs.pyci_program"),
            *("--fcidump", str(task.fcidump)),
            *("--checkpoint", str(task.checkpoint)),
            *("--electrons", str(task.n_electrons)),
            *("--spin", str(task.spin)),
            *first_determinant_options(task),
            *("--eps1", repr(task.eps1)),
            *("--eps2", repr(task.eps2)),
            *("--threads", str(task.threads)),
            *("--memory-gib", repr(task.memory_gib)),
        ]

    def environment(self, task: SolverTask) -> dict[str, str]:
        # NumPy's own threads would compete with PyCI's.
        return {"OPENBLAS_NUM_THREADS": "1"}
