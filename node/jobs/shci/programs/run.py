"""Runs an SHCI program: its lines to the log and to whoever listens, its end whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable

from spotwave.node.jobs.shci.programs.base import (
    Energies,
    Iteration,
    OutputUnreadable,
    Program,
    Reader,
    SolverStopped,
    SolverTask,
    last_lines,
)
from spotwave.node.jobs.shci.programs.bundled import BundledProgram
from spotwave.node.jobs.shci.programs.failure import failure
from spotwave.node.runtime.process import lines, supervised, thread_variables
from spotwave.node.runtime.shortage import OomCounter
from spotwave.node.untrusted.own_files import clear_way, folder_of_ours


def solve(
    program: Program,
    task: SolverTask,
    *,
    on_line: Callable[[str], None],
    on_iteration: Callable[[Iteration], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Energies:
    """Run `program` to its end; a checkpoint in `task.checkpoint` makes it a restart.

    The callbacks are called in this thread; whatever they raise ends the program first. The program is also ended,
    with all its processes, when this thread or process dies. `should_stop` is asked about four times a second. Raises
    ProgramMissing, CheckpointMismatch, ProgramFailed, OutputUnreadable, SolverStopped.
    """
    program.check_present()
    for folder in (task.output, task.checkpoint):
        folder_of_ours(folder)
    arguments = program.prepare(task)
    clear_way(task.log)  # after a build, which may have put anything there
    reader = program.reader(task)

    def tick() -> None:
        reader.tick()
        if should_stop():
            raise SolverStopped(f"{program.name} was told to stop")

    oom = OomCounter()
    environment = thread_variables(task.threads) | program.environment(task)
    with task.log.open("ab") as log, supervised(arguments, program.folder(task), environment) as process:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {program.name}\n".encode())
        for line in lines(process, tick):
            log.write(line.encode() + b"\n")
            log.flush()
            on_line(line)
            if (iteration := _iteration(reader, line)) is not None:
                on_iteration(iteration)
        code = process.wait()
    if code:
        raise failure(program.name, code, task.log, oom, our_own=isinstance(program, BundledProgram))
    try:
        return reader.energies()
    except (ValueError, OverflowError) as error:
        raise OutputUnreadable(
            f"{program.name} ended without error, but {error}. The end of its log:\n{last_lines(task.log)}"
        ) from error


def _iteration(reader: Reader, line: str) -> Iteration | None:
    """A line whose figures are none is a line for people."""
    try:
        return reader.line(line)
    except (ValueError, OverflowError):
        return None
