"""`solve` with programs that misbehave, and the processes that remain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from spotwave.node.jobs.shci.calculation import Calculation, CommandProgram
from spotwave.node.jobs.shci.programs import program_for
from spotwave.node.jobs.shci.programs.base import (
    Iteration,
    OutputUnreadable,
    ProgramMissing,
    SolverStopped,
    SolverTask,
    Stage,
    percent_done,
)
from spotwave.node.jobs.shci.programs.command import Command
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.runtime.errors import ProgramFailed
from tests.node.chemistry import quiet
from tests.processes import words


def script(folder: Path, text: str) -> CommandProgram:
    """Write a Python program that gets the FCIDUMP's path and the number of threads as arguments."""
    path = folder / "program.py"
    path.write_text(text)
    return CommandProgram(
        line=f"{sys.executable} {path} {{fcidump}} {{threads}}",
        variational_energy=r"Evar = (\S+)",
        total_energy=r"Etot = (\S+)",
    )


def task_in(folder: Path) -> SolverTask:
    return SolverTask(
        fcidump=folder / "FCIDUMP",
        output=folder / "output",
        checkpoint=folder / "checkpoint",
        log=folder / "solver.log",
        threads=3,
        memory_gib=1.0,
        eps1=1e-3,
        eps2=1e-5,
        n_orbitals=4,
        n_electrons=4,
    )


def run(command: CommandProgram, folder: Path, on_line: Callable[[str], None] = quiet) -> list[Iteration]:
    seen: list[Iteration] = []
    solve(Command(command), task_in(folder), on_line=on_line, on_iteration=seen.append)
    return seen


def left(folder: Path) -> list[list[str]]:
    """Return the command lines of running processes that mention the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if (
                process.status() != psutil.STATUS_ZOMBIE
                and process.pid != os.getpid()
                and str(folder) in " ".join(line)
            ):
                found.append(line)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_lines_and_energies_are_reported(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        "import os, sys\n"
        "print('threads', sys.argv[2], os.environ['OMP_NUM_THREADS'], os.getcwd(), flush=True)\n"
        "print('Evar = -1.5'); print('Evar = -1.75'); print('x' * 10_000)\n"
        "print('Etot = -2.0', file=sys.stderr); os.write(1, b'caf\\xe9')\n",
    )
    lines: list[str] = []
    energies = solve(Command(command), task_in(tmp_path), on_line=lines.append, on_iteration=lambda iteration: None)
    assert (energies.variational_energy, energies.total_energy) == (-1.75, -2.0)
    assert energies.pt2_energy == -0.25
    assert [one.variational_energy for one in energies.iterations] == [-1.5, -1.75]
    assert lines[0] == f"threads 3 3 {tmp_path / 'output'}" or "threads 3 3 " + str(tmp_path / "output") in lines
    assert max(map(len, lines)) < 2100
    assert any("caf" in line for line in lines)
    assert all(line in (tmp_path / "solver.log").read_text() for line in lines)


def test_a_crash_quotes_the_log(tmp_path: Path) -> None:
    command = script(tmp_path, "print('line before'); raise SystemExit('no convergence, sorry')")
    with pytest.raises(ProgramFailed, match=r"exit code 1(.|\n)*line before(.|\n)*no convergence, sorry"):
        run(command, tmp_path)


def test_a_signal_is_named(tmp_path: Path) -> None:
    command = script(tmp_path, "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(ProgramFailed, match="killed by SIGSEGV"):
        run(command, tmp_path)


def test_invalid_output_is_refused_and_quoted(tmp_path: Path) -> None:
    command = script(tmp_path, "print('Evar = -1.0'); print('Etot = many')")
    with pytest.raises(OutputUnreadable, match=r"command\.total_energy(.|\n)*Etot = many"):
        run(command, tmp_path)


def test_an_endless_line_is_truncated(tmp_path: Path) -> None:
    command = script(tmp_path, "import os\nfor _ in range(100): os.write(1, b'y' * 65536)\n")
    lines: list[str] = []
    with pytest.raises(OutputUnreadable):
        run(command, tmp_path, lines.append)
    assert lines
    assert max(map(len, lines)) < 2100


def test_a_missing_program_is_reported_with_a_remedy(tmp_path: Path) -> None:
    command = CommandProgram(line="no-such-shci-program {fcidump}")
    with pytest.raises(ProgramMissing, match=r"'no-such-shci-program' is not on PATH(.|\n)*git_url"):
        run(command, tmp_path)


SLEEPER = """
import subprocess, sys, time
child = "import sys, time; print('child up', flush=True); time.sleep(600)"
# As with mpirun, the rank has its own process group; it also ignores SIGTERM.
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + child
subprocess.Popen([sys.executable, "-c", stubborn, sys.argv[1]], start_new_session=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="descendants in other groups are found on Linux only")
def test_an_exception_ends_all_processes(tmp_path: Path) -> None:
    class Termination(BaseException):
        """Like Prefect's TerminationSignal."""

    def listen(line: str) -> None:
        assert len(left(tmp_path)) == 3  # supervisor, program, rank
        raise Termination

    with pytest.raises(Termination):
        run(script(tmp_path, SLEEPER), tmp_path, listen)
    assert left(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
@pytest.mark.parametrize("victim", ["engine", "supervisor"])
def test_no_process_survives_a_kill(tmp_path: Path, victim: str) -> None:
    """kill -9 of the engine, or of the supervisor: the solver ends too."""
    command = script(
        tmp_path, SLEEPER if victim == "engine" else "import time; print('up', flush=True); time.sleep(600)"
    )
    engine = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from spotwave.node.jobs.shci.calculation import CommandProgram;"
            "from tests.node.test_programs_run import run;"
            "show = lambda line: print(line, flush=True);"
            "run(CommandProgram.model_validate_json(sys.argv[1]), Path(sys.argv[2]), show)",
            command.model_dump_json(),
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert engine.stdout is not None
        assert "up" in engine.stdout.readline()
        if victim == "engine":
            engine.kill()
        else:
            (supervisor,) = [p for p in psutil.Process(engine.pid).children() if "supervise.py" in str(words(p))]
            supervisor.kill()
        assert wait_until(
            lambda: [line for line in left(tmp_path) if "-c" not in line or "child up" in str(line)] == []
        )
    finally:
        engine.kill()
        engine.wait()
        engine.stdout.close()  # type: ignore[union-attr]


def test_a_program_stops_on_request(tmp_path: Path) -> None:
    command = script(tmp_path, "import time\nwhile True: print('on and on', flush=True)\n")
    with pytest.raises(SolverStopped):
        solve(
            Command(command),
            task_in(tmp_path),
            on_line=quiet,
            on_iteration=lambda iteration: None,
            should_stop=lambda: (tmp_path / "solver.log").stat().st_size > 1000,
        )
    assert left(tmp_path) == []


def test_a_program_can_clean_up_after_sigterm(tmp_path: Path) -> None:
    text = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): pathlib.Path('tidy').write_text('yes'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)\n"
    )

    def listen(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(script(tmp_path, text), tmp_path, listen)
    assert (tmp_path / "output" / "tidy").read_text() == "yes"
    assert left(tmp_path) == []


def test_every_program_can_be_selected() -> None:
    names = [program_for(Calculation(program=name)).name for name in ("pyci", "pyscf", "dice")]
    assert names == ["pyci", "pyscf", "dice"]
    command = CommandProgram(line="true {fcidump}")
    assert program_for(Calculation(program="command", command=command)).executables == ("true",)
    assert program_for(Calculation(program="dice")).executables == ("Dice", "mpirun")
    assert program_for(Calculation(program="pyci")).architectures == ("x86_64", "arm64")
    one = CommandProgram(line="true {fcidump}", architectures=["arm64"])
    assert program_for(Calculation(program="command", command=one)).architectures == ("arm64",)


def test_percent_only_rises() -> None:
    determinants = [1, 12660, 30359, 32662, 32756, 32756]
    iterations = [Iteration(n, size, -1.0 - n, float(n)) for n, size in enumerate(determinants)]
    course = [percent_done(iterations[:n], Stage.VARIATIONAL) for n in range(len(iterations) + 1)]
    course += [percent_done(iterations, Stage.PERTURBATIVE, fraction) for fraction in (0.0, 0.5, 1.0)]
    course += [percent_done(iterations, "finished")]
    assert course == sorted(course)
    assert course[0] == 0.0
    assert course[3] > course[1]
    assert course[-2] < course[-1] == 100.0
    assert signal.SIGTERM  # the module is used above on Linux only
