"""Dice (https://github.com/sanshar/Dice), the SHCI program of Sharma and co-workers, under mpirun.

Sharma et al., J. Chem. Theory Comput. 13, 1595 (2017). Dice is not part of Spotwave; it must be installed on the
machine. Its correction is deterministic down to eps2 = 1e-6 and semistochastic, with an error bar, below.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from spotwave.node.jobs.shci.architectures import Architecture
from spotwave.node.jobs.shci.programs.base import (
    CheckpointState,
    Iteration,
    ProgramMissing,
    SolverTask,
    Stage,
)
from spotwave.node.jobs.shci.programs.dice_checkpoint import ARCHIVE, Archive, read_archive
from spotwave.node.jobs.shci.programs.dice_output import DiceReader
from spotwave.node.untrusted.own_files import remove_tree

_SEMISTOCHASTIC_BELOW = 1e-6  # Hartree; the memory of the deterministic correction grows steeply with 1/eps2
_LARGE_EPS2 = 1e-5  # the semistochastic correction is deterministic down to here
_TARGET_ERROR = 5e-5  # Hartree
_SEED = 20261120
_MAX_ITERATIONS = 30


class Dice:
    """Driver of Dice. It runs inside the checkpoint folder, since it writes restart files to its working folder."""

    name = "dice"
    executables: tuple[str, ...] = ("Dice", "mpirun")
    architectures: tuple[Architecture, ...] = ("x86_64",)  # supported by its authors
    starts_anywhere = True

    def check_present(self) -> None:
        for executable in self.executables:
            if shutil.which(executable) is None:
                raise ProgramMissing(
                    f"program dice: {executable!r} is not on PATH here. Build Dice (https://github.com/sanshar/Dice) "
                    "with an MPI into the machine's image, or choose the program 'pyci'"
                )

    def folder(self, task: SolverTask) -> Path:
        return task.checkpoint / "dice"

    def prepare(self, task: SolverTask) -> list[str]:
        folder = self.folder(task)
        remove_tree(folder)
        folder.mkdir(parents=True)
        (folder / "FCIDUMP").symlink_to(task.fcidump.absolute())
        ranks = task.threads
        archive = read_archive(task.checkpoint / ARCHIVE)
        if archive is not None:
            archive.require(_identity(task))
            archive.unpack(folder)
            ranks = archive.ranks  # each rank reads the file written by the same rank
        text = input_text(task, restart=archive is not None)
        (folder / "input.dat").write_text(text)
        (task.output / "dice_input.dat").write_text(text)
        return ["mpirun", "-np", str(ranks), "Dice", "input.dat"]

    def environment(self, task: SolverTask) -> dict[str, str]:
        return {
            # Spotwave's machines have no user other than root; a restart may have more ranks than cores.
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "OMP_NUM_THREADS": "1",
        }

    def reader(self, task: SolverTask) -> DiceReader:
        archive = read_archive(task.checkpoint / ARCHIVE)
        before = archive.iterations if archive else []
        ranks = archive.ranks if archive else task.threads
        return DiceReader(Archive(_identity(task), ranks, before), self.folder(task), task.checkpoint / ARCHIVE)

    def checkpoint_files(self, task: SolverTask) -> list[Path]:
        path = task.checkpoint / ARCHIVE
        return [path] if path.exists() else []

    def checkpoint_state(self, folder: Path) -> CheckpointState | None:
        archive = read_archive(folder / ARCHIVE)
        if archive is None or not archive.iterations:
            return None
        last: Iteration = archive.iterations[-1]
        return CheckpointState(Stage.VARIATIONAL, last.variational_energy, last.determinants, last.number)


def input_text(task: SolverTask, *, restart: bool) -> str:
    """Return Dice's input file. Spin orbitals are 2i (alpha) and 2i + 1 (beta), counted from 0.

    It uses `fullrestart`, since `restart` takes any stored wave function for the converged one.
    """
    alpha, beta = task.occupied
    occupied = [2 * i for i in alpha] + [2 * i + 1 for i in beta]
    if task.eps2 < _SEMISTOCHASTIC_BELOW:
        correction = [
            "nPTiter 200",
            f"epsilon2 {task.eps2:g}",
            f"epsilon2Large {max(_LARGE_EPS2, task.eps2):g}",
            f"targetError {_TARGET_ERROR:g}",
            "sampleN 200",
            f"seed {_SEED}",
        ]
    else:
        correction = ["deterministic", f"epsilon2 {task.eps2:g}"]
    lines = [
        "#system",
        f"nocc {len(occupied)}",
        " ".join(map(str, occupied)),
        "end",
        "orbitals FCIDUMP",
        "nroots 1",
        "",
        "#variational",
        "schedule",
        f"0 {task.eps1:g}",
        f"3 {task.eps1:g}",
        "end",
        "davidsontol 1e-7",
        "dE 1e-8",
        f"maxiter {_MAX_ITERATIONS}",
        "",
        "#pt",
        *correction,
        "",
        "#misc",
        "io",
        *(["fullrestart"] if restart else []),
    ]
    return "\n".join(lines) + "\n"


def _identity(task: SolverTask) -> dict[str, float]:
    return {
        "n_orbitals": task.n_orbitals,
        "n_electrons": task.n_electrons,
        "spin": task.spin,
        "eps1": task.eps1,
    }
