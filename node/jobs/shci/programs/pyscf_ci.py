"""Driver of PySCF's own selected CI, used where PyCI has no wheel."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from spotwave.node.jobs.shci.programs.base import ProgramMissing, SolverTask
from spotwave.node.jobs.shci.programs.bundled import BundledProgram
from spotwave.node.jobs.shci.programs.first_determinant_option import first_determinant_options

SNAPSHOT = "pyscf.npz"


class PySCF(BundledProgram):
    """Selected CI in a product of alpha and beta strings, without a perturbative correction."""

    name = "pyscf"
    snapshot = SNAPSHOT

    def check_present(self) -> None:
        if find_spec("pyscf") is None:
            raise ProgramMissing("program pyscf: the package pyscf is not installed here. Install it")

    def prepare(self, task: SolverTask) -> list[str]:
        return [
            *(sys.executable, "-m", "spotwave.node.jobs.shci.programs.pyscf_program"),
            *("--fcidump", str(task.fcidump)),
            *("--checkpoint", str(task.checkpoint)),
            *("--electrons", str(task.n_electrons)),
            *("--spin", str(task.spin)),
            *first_determinant_options(task),
            *("--eps1", repr(task.eps1)),
            *("--memory-gib", repr(task.memory_gib)),
        ]

    def environment(self, task: SolverTask) -> dict[str, str]:
        return {}
