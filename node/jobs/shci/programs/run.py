"""Run an SHCI program: pass its lines to the log and the callbacks, and end it in all cases."""

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
    """Run `program` to its end. If `task.checkpoint` holds a checkpoint, it is a restart.

    The callbacks run in this thread; if one raises, the program is ended first. The program and all its processes are
    also ended when this thread or process ends. `should_stop` is called about four times a second. Raises
    ProgramMissing, CheckpointMismatch, ProgramFailed, OutputUnreadable, SolverStopped.
    """
    program.check_present()
    for folder in (task.output, task.checkpoint):
        folder_of_ours(folder)
    arguments = program.prepare(task)
    clear_way(task.log)  # after a build, which may have created anything there
    reader = program.reader(task)

    def tick() -> None:
        reader.tick()
        if should_stop():
            raise SolverStopped(f"{program.name} was stopped on request")

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
    """Parse a line. One with implausible values counts as text."""
    try:
        return reader.line(line)
    except (ValueError, OverflowError):
        return None
