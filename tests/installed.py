"""Spotwave installed as a wheel in a separate environment with other packages; no network is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path

NEIGHBOURS = ("flows", "tasks", "blocks", "node", "deployments")  # another project's packages, named as ours


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a 'wheel' or 'sdist' of the project in `source` with hatchling, as `pip wheel` and `python -m build` do."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True, timeout=240)
    (made,) = folder.iterdir()
    return made


def unpacked(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel and a project with packages of the names in NEIGHBOURS."""

    prefix: Path

    @property
    def python(self) -> str:
        return str(self.prefix / "bin" / "python")

    @property
    def packages(self) -> Path:
        (found,) = (self.prefix / "lib").glob("python*/site-packages")
        return found

    def environment(self, user: Path) -> dict[str, str]:
        """Return the environment of a user with home folder `user`, without the developer's settings and sources."""
        ours = ("PREFECT_", "SPOTWAVE_", "PYTHON", "XDG_")
        bare = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        path = os.pathsep.join([str(self.prefix / "bin"), sysconfig.get_path("scripts"), os.environ["PATH"]])
        own = {"HOME": str(user), "XDG_STATE_HOME": str(user / "state"), "PATH": path}
        return bare | own | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

    def call(
        self, *command: str, cwd: Path, user: Path, timeout_s: float = 300, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, or another program."""
        program = self.prefix / "bin" / command[0]
        return subprocess.run(
            [str(program) if program.exists() else command[0], *command[1:]],
            cwd=cwd,
            env=self.environment(user) | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


def install(wheel: Path, prefix: Path) -> Installed:
    """Install the wheel into a new environment.

    Dependencies come from the tests' environment by a .pth file with its path. Editable installations there, such as
    Spotwave's own source tree, are not included.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True, timeout=120)
    made = Installed(prefix)
    (made.packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in NEIGHBOURS:
        (made.packages / name).mkdir()
        (made.packages / name / "__init__.py").write_text("OWNER = 'another project'\n")
    command = [sys.executable, "-m", "pip", "--python", made.python, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return made
