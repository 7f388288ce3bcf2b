"""A program provided by the user: command line, energies by regular expressions, fetched and built if needed."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spotwave.node.jobs.shci.architectures import Architecture
from spotwave.node.jobs.shci.command_program import GIT_SCHEMES
from spotwave.node.jobs.shci.programs.base import (
    CheckpointState,
    Energies,
    Iteration,
    ProgramMissing,
    SolverTask,
    Stage,
    last_lines,
)
from spotwave.node.jobs.shci.programs.failure import failure
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.process import lines, supervised
from spotwave.node.runtime.shortage import OomCounter
from spotwave.node.storage.outgoing import problem_with
from spotwave.node.untrusted.file_names import can_travel
from spotwave.node.untrusted.own_files import clear_way, is_folder, is_regular, remove_tree

if TYPE_CHECKING:
    from spotwave.node.jobs.shci.command_program import CommandProgram

MOST_KEPT = 1000  # files of a program's checkpoint
_FETCH_S = 600.0
_BUILD_S = 1800.0
_KEPT = ".kept"  # folder for copies of checkpoint files
_STILL = 2.0  # seconds without a change after which a file is copied


class Command:
    """Driver of a user's program."""

    name = "command"
    starts_anywhere = False

    def __init__(self, command: CommandProgram) -> None:
        self._command = command
        self._words = shlex.split(command.line)

    @property
    def executables(self) -> tuple[str, ...]:
        return ("git",) if self._command.git_url else (self._words[0],)

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        return tuple(self._command.architectures)

    def check_present(self) -> None:
        for executable in self.executables:
            if shutil.which(executable) is None:
                raise ProgramMissing(
                    f"program command: {executable!r} is not on PATH here. Install it in the machine's image, or give "
                    "command.git_url, command.commit and command.build"
                )

    def folder(self, task: SolverTask) -> Path:
        return task.output

    def prepare(self, task: SolverTask) -> list[str]:
        """Fetch and build once per machine. A relative program path with a slash refers to the repository."""
        values = {
            "fcidump": str(task.fcidump.absolute()),
            "output": str(task.output.absolute()),
            "checkpoint": str(task.checkpoint.absolute()),
            "threads": str(task.threads),
        }
        words = [word.format(**values) for word in self._words]
        for kept in self.checkpoint_files(task):  # restored from an earlier attempt
            if not (task.checkpoint / kept.name).exists():
                shutil.copy2(kept, task.checkpoint / kept.name)
        if self._command.git_url:
            source = self._fetch_and_build(task)
            if "/" in words[0] and not Path(words[0]).is_absolute():
                words[0] = str(source / words[0])
            if shutil.which(words[0]) is None:
                raise ProgramMissing(f"program command: the build did not produce {words[0]!r}. Correct command.line")
        return words

    def environment(self, task: SolverTask) -> dict[str, str]:
        return {}

    def reader(self, task: SolverTask) -> CommandReader:
        version = (self._command.commit or "")[:12] if self._command.git_url else ""
        return CommandReader(self._command, version, task)

    def checkpoint_files(self, task: SolverTask) -> list[Path]:
        folder = task.checkpoint / _KEPT
        if not (is_folder(task.checkpoint) and is_folder(folder)):
            return []
        try:
            found = sorted(folder.iterdir())
        except OSError:  # no copies yet, or the program has replaced the folder
            return []
        return [path for path in found if not path.name.startswith(".") and is_regular(path)]

    def checkpoint_state(self, folder: Path) -> CheckpointState | None:
        return None  # only the program knows its files' format

    def _fetch_and_build(self, task: SolverTask) -> Path:
        url, commit, build = self._command.git_url or "", self._command.commit or "HEAD", self._command.build
        key = hashlib.sha256(f"{url}\n{commit}\n{build}".encode()).hexdigest()[:16]
        root = task.output.absolute().parent / "programs"
        source = root / key
        if source.exists():
            return source
        working = root / f".{key}.part"
        remove_tree(working)
        working.mkdir(parents=True)
        log = task.log.with_name("build.log")
        git = ["git", "-c", "advice.detachedHead=false"]
        _run([*git, "init", "--quiet"], working, log, _FETCH_S)
        # A private repository must fail without a prompt, and no address may name a helper to run, as `ext::` does.
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(GIT_SCHEMES)}
        agent = {name: value for name, value in os.environ.items() if name == "SSH_AUTH_SOCK"}  # for git, not the build
        # After "--", an address or a commit that starts with a dash is not taken for an option.
        fetch = [*git, "fetch", "--quiet", "--depth", "1", "--", url, commit]
        _run(fetch, working, log, _FETCH_S, quiet | agent)
        _run([*git, "checkout", "--quiet", "FETCH_HEAD"], working, log, _FETCH_S)
        if build:
            _run(["sh", "-c", build], working, log, _BUILD_S, quiet)
        working.replace(source)
        return source


class CommandReader:
    """Searches each line for energies; the last match counts."""

    def __init__(self, command: CommandProgram, version: str, task: SolverTask) -> None:
        self._patterns = {
            name: re.compile(pattern)
            for name in ("variational_energy", "total_energy", "determinants", "error_bar")
            if (pattern := getattr(command, name)) is not None
        }
        self._found: dict[str, float] = {}
        self._version = version
        self._checkpoint = task.checkpoint
        self._stage = Stage.VARIATIONAL
        self._iterations: list[Iteration] = []
        self._started = time.monotonic()
        self._not_kept: dict[str, int] = {}  # name -> modification time of files that could not be copied

    @property
    def stage(self) -> Stage:
        return self._stage

    def line(self, text: str) -> Iteration | None:
        """Make an iteration of every line with a variational energy."""
        found = {name: _number(match[1]) for name, pattern in self._patterns.items() if (match := pattern.search(text))}
        self._found.update({name: value for name, value in found.items() if value is not None})
        energy = found.get("variational_energy")
        if energy is None:
            return None
        determinants = int(self._found.get("determinants", 0))
        seconds = round(time.monotonic() - self._started, 3)
        self._iterations.append(Iteration(len(self._iterations) + 1, determinants, energy, seconds))
        return self._iterations[-1]

    def tick(self) -> None:
        """Copy checkpoint files that have not changed for a while. Unlike the originals, copies are never modified.

        The folder may contain anything, so only regular files are considered. A file that cannot be copied (full disk)
        is skipped until its next version, since the calculation itself goes on.
        """
        if not is_folder(self._checkpoint):  # e.g. a link to another folder
            return
        try:
            with os.scandir(self._checkpoint) as entries:
                found = [entry.name for entry in entries if not entry.name.startswith(".") and can_travel(entry.name)]
        except OSError:  # removed by the program
            return
        capacity = shutil.disk_usage(self._checkpoint.parent).total
        for name in sorted(found)[:MOST_KEPT]:
            path = self._checkpoint / name
            try:
                before = path.lstat()
            except OSError:  # the program may replace or remove files at any moment
                continue
            if self._not_kept.get(name) == before.st_mtime_ns or problem_with(path, before, capacity) is not None:
                continue
            try:
                _keep(path, self._checkpoint / _KEPT)
            except FileNotFoundError:
                continue
            except OSError:
                self._not_kept[name] = before.st_mtime_ns

    def energies(self) -> Energies:
        for name in ("variational_energy", "total_energy"):
            if name not in self._found:
                raise ValueError(f"no line matches command.{name} = {self._patterns[name].pattern!r}")
        determinants = self._found.get("determinants")
        return Energies(
            program="command",
            version=self._version,
            variational_energy=self._found["variational_energy"],
            total_energy=self._found["total_energy"],
            determinants=None if determinants is None else int(determinants),
            error_bar=self._found.get("error_bar"),
            iterations=list(self._iterations),
        )


def _keep(path: Path, kept: Path) -> None:
    """Copy a file that has not changed for a while, if it is new. Raises FileNotFoundError if it is gone."""
    before = path.stat()
    copy, partial = kept / path.name, kept / f".{path.name}.part"
    fresh = not is_regular(copy) or copy.stat().st_mtime_ns != before.st_mtime_ns
    if not fresh or time.time() - before.st_mtime < _STILL:
        return
    if not is_folder(kept):
        kept.unlink(missing_ok=True)
        kept.mkdir()
    for one in (copy, partial):
        clear_way(one)
    try:
        shutil.copy2(path, partial)
        after = path.stat()
        if (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size):
            partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _run(
    arguments: list[str], folder: Path, log: Path, limit: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run one step of fetching or building, with its output in `log`. Raises ProgramFailed."""
    deadline = time.monotonic() + limit
    what = shlex.join(arguments)

    def tick() -> None:
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{what} took more than {limit:.0f} s. The end of its log:\n{last_lines(log)}")

    clear_way(log)
    oom = OomCounter()
    with log.open("ab") as file, supervised(arguments, folder, dict(environment or {})) as process:
        file.write(f"$ {what}\n".encode())
        for line in lines(process, tick):
            file.write(line.encode() + b"\n")
            file.flush()
        code = process.wait()
    if code:
        raise failure(what, code, log, oom)
