"""Common interface of all SHCI programs: a task as input, iterations during the run, energies as output.

Few imports, since the program processes import this too. Energies in Hartree, times in seconds, memory in GiB.
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
    """Stage of an SHCI calculation."""

    VARIATIONAL = "variational"  #: selection of determinants and diagonalisation, iterated
    PERTURBATIVE = "perturbative"  #: the wave function is complete; its second-order correction is computed
    FINISHED = "finished"  #: both energies are known


@dataclass(frozen=True)
class SolverTask:
    """What to solve, where, and with which resources; the same for every program."""

    fcidump: Path
    output: Path  #: folder for files that may be shown to the user
    checkpoint: Path  #: folder; for a restart it holds the files of an earlier attempt
    log: Path  #: file to which the program's output is appended
    threads: int
    memory_gib: float  #: memory that the program may use
    eps1: float
    eps2: float
    n_orbitals: int
    n_electrons: int
    spin: int = 0  #: 2S, the number of unpaired electrons
    command: CommandProgram | None = None
    #: orbitals (from 0) occupied at the start, by spin; None for the first orbitals of the file
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
    """One iteration of selection and diagonalisation."""

    number: int
    determinants: int
    variational_energy: float
    seconds: float  #: since the start of this process of the program

    def __post_init__(self) -> None:
        """Raises ValueError for implausible values."""
        plausible_values.count("the iteration's number", self.number, plausible_values.MOST_ITERATIONS)
        plausible_values.count("determinants", self.determinants, plausible_values.MOST_DETERMINANTS)
        plausible_values.energy("the variational energy", self.variational_energy)
        plausible_values.seconds("seconds", self.seconds)


@dataclass(frozen=True)
class Energies:
    """The result of a program."""

    program: str
    version: str
    variational_energy: float
    total_energy: float  #: with the perturbative correction
    determinants: int | None
    error_bar: float | None = None  #: standard error of the total energy, if the correction is stochastic
    iterations: list[Iteration] = field(default_factory=list)  #: of all attempts, as far as the program reports them
    note: str = ""  #: remarks for the user about these numbers
    threshold_error: float | None = None  #: Hartree; estimate of the part of the total energy that eps2 neglects
    s_squared: float | None = None  #: <S^2> of the variational wave function, if the program reports it

    def __post_init__(self) -> None:
        """Raises ValueError for implausible values."""
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
        """The total energy with its significant digits."""
        return in_digits(self.total_energy, self.error_bar or self.threshold_error)

    @property
    def pt2_energy(self) -> float:
        """The second-order correction."""
        return self.total_energy - self.variational_energy


@dataclass(frozen=True)
class CheckpointState:
    """Content of a checkpoint; a resumed run must not end above its energy."""

    stage: Stage
    variational_energy: float
    determinants: int
    iteration: int


class ProgramMissing(RuntimeError):
    """The program is not installed on this machine; the message gives the remedy."""


class OutputUnreadable(RuntimeError):
    """The program ended without an error but reported no energies; the message quotes the last lines of its log."""


class CheckpointMismatch(RuntimeError):
    """The checkpoint in the task's folder belongs to another calculation or cannot be read."""


class SolverStopped(StopAsked):
    """The program was ended because `should_stop` returned True; its last checkpoint remains valid."""


class Reader(Protocol):
    """Parses the output of one run, line by line."""

    @property
    def stage(self) -> Stage: ...

    def line(self, text: str) -> Iteration | None:
        """Parse one line. Return the iteration that it completes, if any."""
        ...

    def tick(self) -> None:
        """Called a few times a second while the program runs. Collects checkpoint files, if the program does not write
        them as `Program.checkpoint_files` promises."""
        ...

    def energies(self) -> Energies:
        """Return the result after the last line. Raises ValueError with what is missing."""
        ...


class Program(Protocol):
    """One SHCI program."""

    @property
    def name(self) -> str: ...

    @property
    def executables(self) -> tuple[str, ...]:
        """Names that must be on the machine's PATH; empty if the program comes with Spotwave."""
        ...

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """CPU architectures that it runs on; offers with others are not considered."""
        ...

    @property
    def starts_anywhere(self) -> bool:
        """Whether it can start from the task's `first_determinant`, not only from the first orbitals of the file."""
        ...

    def check_present(self) -> None:
        """Raises ProgramMissing if it cannot run here."""
        ...

    def folder(self, task: SolverTask) -> Path:
        """Return the folder that it runs in; exists after `prepare`."""
        ...

    def prepare(self, task: SolverTask) -> list[str]:
        """Write its input, unpack its checkpoint if there is one, and return the command to execute.

        Raises ProgramMissing, ProgramFailed (a build), CheckpointMismatch.
        """
        ...

    def environment(self, task: SolverTask) -> dict[str, str]:
        """Return variables to set besides those for the number of threads."""
        ...

    def reader(self, task: SolverTask) -> Reader: ...

    def checkpoint_files(self, task: SolverTask) -> list[Path]:
        """Return complete, closed files that are never modified again (they may be replaced), to be kept by hard link.

        A later run that finds them under the same names in `task.checkpoint` is a restart.
        """
        ...

    def checkpoint_state(self, folder: Path) -> CheckpointState | None:
        """Return the content of the checkpoint in this folder; None if there is none or the program gives none.

        Raises CheckpointMismatch if it cannot be read.
        """
        ...


_VARIATIONAL_SHARE = 65.0
_CONVERGED_FRACTION = 1e-4


def percent_done(iterations: Sequence[Iteration], stage: Stage | str, fraction: float = 0.0) -> float:
    """Estimate the progress between 0 and 100; it never falls during a run.

    The share of new determinants falls roughly geometrically from 1 towards 1e-4, so its logarithm measures how far the
    variational stage is (65 % of the work). `fraction` (0 to 1) is the progress of the perturbative stage, if known.
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
    # Each iteration counts a little, even if the logarithm shows no progress, as in the first one.
    begun = 1.0 - 0.8 ** len(iterations)
    return _VARIATIONAL_SHARE * max(best, 0.3 * begun)


def last_lines(log: Path, count: int = 20, limit: int = 4000) -> str:
    """Return the end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4 * limit))
            text = plain(file.read().decode("utf-8", "replace"), 4 * limit, lines=True)
    except FileNotFoundError:
        return "(no log)"
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])[-limit:] or "(the log is empty)"
