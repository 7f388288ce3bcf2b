"""An environment beside this one, in which every Python imports `breakpoints`, and the plans that it follows."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.faults import breakpoints
from tests.faults.steps import STEPS


@dataclass(frozen=True)
class Hooked:
    """An environment whose processes can be paused. Same packages, same programs."""

    prefix: Path

    @classmethod
    def make(cls, prefix: Path) -> Hooked:
        """Create a virtual environment that uses the packages of the current one."""
        packages = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        programs = prefix / "bin"
        for folder in (packages, programs, prefix / "plans"):
            folder.mkdir(parents=True)
        (prefix / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
        for program in Path(sysconfig.get_path("scripts")).iterdir():
            if not program.name.startswith(("python", "activate")):
                (programs / program.name).symlink_to(program)
        (programs / "python").symlink_to(os.path.realpath(sys.executable))
        shutil.copy(breakpoints.__file__, packages / "breakpoints.py")
        borrowed = [path for path in site.getsitepackages() if Path(path).is_dir()]
        lines = [f"import site; site.addsitedir({path!r})" for path in borrowed]
        (packages / "hooked.pth").write_text("\n".join([*lines, "import breakpoints", ""]))
        calls = sorted({step.call for step in STEPS.values() if step.attempt == 0})
        (prefix / "plans" / breakpoints.CALLS).write_text(json.dumps(calls))
        clock_library(prefix)
        return cls(prefix)

    @property
    def has_clock(self) -> bool:
        """Whether a machine can get another clock."""
        return (self.prefix / "clock.so").exists()

    @property
    def python(self) -> str:
        return str(self.prefix / "bin" / "python")

    def plan(
        self,
        job_key: str,
        *,
        call: str = "",
        when: str = "before",
        attempt: int = 0,
        clock: int = 0,
        dies: str = "",
    ) -> Plan:
        """Make a process of that job wait before or after a call: of the controller, or of an attempt's machine.

        dies: how the process ends when it continues, in the syntax of `breakpoints`.
        """
        plan = Plan(self.prefix / "plans" / job_key)
        content = {
            "call": call,
            "when": when,
            "attempt": attempt,
            "clock": clock,
            "dies": dies,
            "clock_library": str(self.prefix / "clock.so"),
        }
        plan.stem.with_suffix(".json").write_text(json.dumps(content))
        return plan


@dataclass(frozen=True)
class Plan:
    """The plan of one job, and its progress."""

    stem: Path

    @property
    def waits(self) -> bool:
        """Whether the process waits at the call."""
        return self.stem.with_suffix(".hit").exists() and not self.stem.with_suffix(".go").exists()

    def go_on(self) -> None:
        self.stem.with_suffix(".go").touch()

    def forget(self) -> None:
        self.go_on()
        for suffix in (".json", ".hit"):
            self.stem.with_suffix(suffix).unlink(missing_ok=True)


def clock_library(folder: Path) -> Path | None:
    """Compile clock.c into the folder; None if there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library
