"""What every SHCI program looks like from outside: a task in, iterations while it runs, energies out.

Light on purpose: the program processes import it too. Energies in Hartree, times in seconds, memory in GiB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from spotwave.node.jobs.shci.architectures import Architecture
from spotwave.node.jobs.shci.digits import in_digits
from spotwave.node.jobs.shci.programs import plausible_values
from spotwave.node.runtime.errors import StopAsked
from spotwave.node.untrusted.plain_text import plain

if TYPE_CHECKING:
    from spotwave.node.jobs.shci.command_program import CommandProgram


class Stage(StrEnum):
    """Where an SHCI calculation stands."""

    VARIATIONAL = "variational"  #: determinants are selected, the Hamiltonian is diagonalised, again and again
    PERTURBATIVE = "perturbative"  #: the wave function stands; its second-order correction is summed
    FINISHED = "finished"  #: both energies are known


@dataclass(frozen=True)
class SolverTask:
    """What to solve, where and with how much; the same for every program."""

    fcidump: Path
    output: Path  #: what is in it may be shown to the user
    checkpoint: Path  #: folder; holds what an earlier attempt left there when the task is a restart
    log: Path  #: everything that the program says, appended
    threads: int
    memory_gib: float  #: what the program may use
    eps1: float
    eps2: float
    n_orbitals: int
    n_electrons: int
    spin: int = 0  #: 2S, the number of unpaired electrons
    command: CommandProgram | None = None
    #: orbitals (from 0) that are occupied at the start, of either spin; None for the first of the file
    first_determinant: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @property
    def n_alpha(self) -> int:
        return (self.n_electrons + self.spin) // 2

    @property
    def n_beta(self) -> int:
        return (self.n_electrons - self.spin) // 2

    @property
    def occupied(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The determinant that the program starts from: orbitals (from 0) with an alpha and with a beta electron."""
        return self.first_determinant or (tuple(range(self.n_alpha)), tuple(range(self.n_beta)))


@dataclass(frozen=True)
class Iteration:
    """One round of selection and diagonalisation."""

    number: int
    determinants: int
    variational_energy: float
    seconds: float  #: since this process of the program began

    def __post_init__(self) -> None:
        """Raises ValueError for figures that are none."""
        plausible_values.count("the iteration's number", self.number, plausible_values.MOST_ITERATIONS)
        plausible_values.count("determinants", self.determinants, plausible_values.MOST_DETERMINANTS)
        plausible_values.energy("the variational energy", self.variational_energy)
        plausible_values.seconds("seconds", self.seconds)


@dataclass(frozen=True)
class Energies:
    """The answer of a program."""

    program: str
    version: str
    variational_energy: float
    total_energy: float  #: with the perturbative correction
    determinants: int | None
    error_bar: float | None = None  #: standard error of the total energy, of a stochastic correction
    iterations: list[Iteration] = field(default_factory=list)  #: of all attempts, as far as the program tells
    note: str = ""  #: what the user should know about these numbers
    threshold_error: float | None = None  #: Hartree; estimate of what eps2 leaves out of the total energy
    s_squared: float | None = None  #: <S^2> of the variational wave function, where the program tells

    def __post_init__(self) -> None:
        """Raises ValueError for figures that are none."""
        plausible_values.energy("the variational energy", self.variational_energy)
        plausible_values.energy("the total energy", self.total_energy)
        if self.determinants is not None:
            plausible_values.count("determinants", self.determinants, plausible_values.MOST_DETERMINANTS)
        if self.error_bar is not None and plausible_values.energy("the error bar", self.error_bar) < 0:
            raise ValueError("the error bar is negative")
        if (
            self.threshold_error is not None
            and plausible_values.energy("the threshold's error", self.threshold_error) < 0
        ):
            raise ValueError("the threshold's error is negative")
        if self.s_squared is not None:
            plausible_values.s_squared(self.s_squared)

    @property
    def in_words(self) -> str:
        """The total energy with the digits that are meant."""
        return in_digits(self.total_energy, self.error_bar or self.threshold_error)

    @property
    def pt2_energy(self) -> float:
        """The second-order correction."""
        return self.total_energy - self.variational_energy


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint says about itself; a resumed run must not end above its energy."""

    stage: Stage
    variational_energy: float
    determinants: int
    iteration: int


class ProgramMissing(RuntimeError):
    """The program is not on this machine; the message names the remedy."""


class OutputUnreadable(RuntimeError):
    """The program ended well and did not say its energies; the message quotes the last lines of its log."""


class CheckpointMismatch(RuntimeError):
    """The checkpoint in the task's folder belongs to another calculation or cannot be read."""


class SolverStopped(StopAsked):
    """The program was ended because `should_stop` said so; its last checkpoint stands."""


class Reader(Protocol):
    """Understands one run's output, line by line."""

    @property
    def stage(self) -> Stage: ...

    def line(self, text: str) -> Iteration | None:
        """Take one line; the iteration that it completes, if it does."""
        ...

    def tick(self) -> None:
        """Called a few times a second while the program runs: the moment to gather checkpoint files, if the program
        does not write them as `Program.checkpoint_files` promises them."""
        ...

    def energies(self) -> Energies:
        """The answer, after the last line. Raises ValueError saying what was not there."""
        ...


class Program(Protocol):
    """One SHCI program."""

    @property
    def name(self) -> str: ...

    @property
    def executables(self) -> tuple[str, ...]:
        """Names to be found on PATH where it shall run; empty when it comes with Spotwave."""
        ...

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """The CPUs that it runs on; offers of others are left out of the choice."""
        ...

    @property
    def starts_anywhere(self) -> bool:
        """Whether it starts from the task's `first_determinant`; else always from the first orbitals of the file."""
        ...

    def check_present(self) -> None:
        """Raises ProgramMissing when it cannot run here."""
        ...

    def folder(self, task: SolverTask) -> Path:
        """Where it runs; exists after `prepare`."""
        ...

    def prepare(self, task: SolverTask) -> list[str]:
        """Write its input, unpack its checkpoint if there is one, and say what to execute.

        Raises ProgramMissing, ProgramFailed (a build), CheckpointMismatch.
        """
        ...

    def environment(self, task: SolverTask) -> dict[str, str]:
        """Variables to set besides those for the number of threads."""
        ...

    def reader(self, task: SolverTask) -> Reader: ...

    def checkpoint_files(self, task: SolverTask) -> list[Path]:
        """Complete, closed files that will never be written to again (they may be replaced), to be kept elsewhere,
        e.g. by hard links. Put back under their names into `task.checkpoint` they make a later run a restart.
        """
        ...

    def checkpoint_state(self, folder: Path) -> CheckpointState | None:
        """What the checkpoint in this folder says; None when there is none or the program does not tell.

        Raises CheckpointMismatch for one that cannot be read.
        """
        ...


_VARIATIONAL_SHARE = 65.0
_CONVERGED_FRACTION = 1e-4


def percent_done(iterations: Sequence[Iteration], stage: Stage | str, fraction: float = 0.0) -> float:
    """An estimate between 0 and 100 that never falls while a run goes on.

    The share of new determinants falls from 1 towards 1e-4 about geometrically, so its logarithm tells how far the
    variational stage is (65 % of the work); `fraction` (0 to 1) is how far the perturbative stage is, where known.
    """
    stage = Stage(stage)
    if stage is Stage.FINISHED:
        return 100.0
    if stage is Stage.PERTURBATIVE:
        return _VARIATIONAL_SHARE + 2.0 + (97.0 - _VARIATIONAL_SHARE) * min(max(fraction, 0.0), 1.0)
    best = 0.0
    for before, after in pairwise(iterations):
        new = (after.determinants - before.determinants) / max(after.determinants, 1)
        new = min(max(new, _CONVERGED_FRACTION), 1.0)
        best = max(best, math.log(new) / math.log(_CONVERGED_FRACTION))
    # Each iteration is worth something even where the logarithm sees none, e.g. in the first one.
    begun = 1.0 - 0.8 ** len(iterations)
    return _VARIATIONAL_SHARE * max(best, 0.3 * begun)


def last_lines(log: Path, count: int = 20, limit: int = 4000) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4 * limit))
            text = plain(file.read().decode("utf-8", "replace"), 4 * limit, lines=True)
    except FileNotFoundError:
        return "(no log)"
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])[-limit:] or "(the log is empty)"
