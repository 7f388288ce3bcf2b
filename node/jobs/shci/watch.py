"""Callbacks while an SHCI program runs: log its lines, show its iterations in the bar, seal its new checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from spotwave.node.jobs.shci.programs.base import Iteration, Program, SolverTask, Stage, percent_done
from spotwave.node.untrusted.plain_text import plain

Tell = Callable[[float, str], None]
Seal = Callable[[list[Path], float | None], None]

# Output of the programs when the wave function is complete and its correction begins.
_PERTURBATIVE = ('"stage": "perturbative"', "PERTURBATION THEORY STEP")
LINE_CHARS = 4000  # longest logged line of a program's output
_FOR_MACHINES = '{"event":'


class SolverWatch:
    """The callbacks of one `solve`.

    tell: called with percent and a note. seal: called with the program's checkpoint files, and their variational energy
    (Hartree) if known. asked_to_stop: whether the agent requests a stop (it also sends a signal, which may be missed).
    """

    def __init__(
        self,
        program: Program,
        task: SolverTask,
        *,
        log: Callable[[str], None],
        tell: Tell,
        seal: Seal,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self._program, self._task = program, task
        self._log, self._tell, self._seal, self._asked_to_stop = log, tell, seal, asked_to_stop
        self._iterations: list[Iteration] = []
        self._sealed = self._marks()  # files of an earlier attempt are already sealed

    def line(self, text: str) -> None:
        """Handle a line of the program's output."""
        if any(mark in text for mark in _PERTURBATIVE):
            self._tell(percent_done(self._iterations, Stage.PERTURBATIVE), "perturbative correction")
        if not text.startswith(_FOR_MACHINES):
            self._log(plain(text, LINE_CHARS))

    def iteration(self, iteration: Iteration) -> None:
        """Handle an iteration that the program has finished (a restart first repeats those of its checkpoint)."""
        self._iterations.append(iteration)
        note = (
            f"iteration {iteration.number}, {iteration.determinants:,} determinants, "
            f"{iteration.variational_energy:.8f} Ha"
        )
        self._tell(percent_done(self._iterations, Stage.VARIATIONAL), note)
        self._seal_what_is_new()

    def should_stop(self) -> bool:
        """Called a few times a second, because some programs write checkpoints between iterations."""
        self._seal_what_is_new()
        return self._asked_to_stop()

    def _seal_what_is_new(self) -> None:
        marks = self._marks()
        if not marks or marks == self._sealed:
            return
        state = self._program.checkpoint_state(self._task.checkpoint)
        with suppress(FileNotFoundError):  # removed by the program just now: the next call finds the current files
            self._seal([Path(path) for path in marks], state.variational_energy if state else None)
            self._sealed = marks

    def _marks(self) -> dict[str, tuple[int, int, int]]:
        """Return the checkpoint files with inode, size and time, by which changes are detected."""
        found = {}
        for path in self._program.checkpoint_files(self._task):
            try:
                status = path.stat()
            except FileNotFoundError:  # removed by the program since
                continue
            found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found
