"""Where tests find the programs of real servers: on this computer, else in Debian's packages.

Missing ones are fetched once and unpacked into the environment, not installed, so that a fresh machine with nothing
but its package registry runs these tests too. Nothing of the system is touched.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.parts import MISSING

# PyPI's builds of PostgreSQL lack the extension pg_trgm, which Prefect's migrations ask for.
_POSTGRESQL = "^postgresql-[0-9]+$"  # a release of Debian has one; the plain name is an empty package
_PACKAGES = {"postgres": _POSTGRESQL, "initdb": _POSTGRESQL, "redis-server": "redis-server", "nginx": "nginx"}
_PLACES = ("usr/lib/postgresql/*/bin", "usr/sbin", "usr/bin", "usr/local/bin")
# A second C library beside the system's loader does not run; the just-in-time compiler is switched off below.
_NOT_WANTED = ("libc6", "libllvm", "perl", "libperl", "systemd", "libsystemd-shared", "dbus", "locales")
_FETCH_S = 240.0


@functools.cache
def program(name: str) -> str:
    """The full path of `postgres`, `initdb`, `redis-server` or `nginx`; fetched if this computer has none.

    Skips the test where there is neither the program nor apt.
    """
    return _on_this_computer(name) or _fetched(name)


def _on_this_computer(name: str) -> str | None:
    found = shutil.which(name) or _below(Path("/"), name)
    # A link to it is no place to look for its neighbours: initdb starts the postgres beside it.
    return str(Path(found).resolve()) if found and name in ("postgres", "initdb") else found


def _below(root: Path, name: str) -> str | None:
    found = [
        str(path) for place in _PLACES for path in sorted(root.glob(f"{place}/{name}")) if os.access(path, os.X_OK)
    ]
    return found[-1] if found else None


def _fetched(name: str) -> str:
    """From Debian's package, unpacked once for all tests."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip(f"{name} {MISSING}, and there is no apt-get to fetch it with")
    root = _services() / _PACKAGES[name].strip("^$").split("-[")[0]
    with (_services() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(_PACKAGES[name], root)
    found = _below(root, name)
    assert found is not None, f"Debian's package {_PACKAGES[name]} holds no {name}"
    return found


def _services() -> Path:
    """Where packages are unpacked: in the environment, unless only root may look into it, as a server may not be."""
    folder = Path(sys.prefix).resolve() / "services"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        folder = Path(tempfile.gettempdir()).resolve() / "spotwave-services"
    folder.mkdir(exist_ok=True)
    assert folder.stat().st_uid == os.geteuid(), f"{folder} belongs to somebody else"
    folder.chmod(0o755)  # whatever the umask: flows that a test runs in this process close it
    return folder


def _unpack(package: str, root: Path) -> None:
    """The package and what it needs beyond this computer's packages. Nothing of the system is touched, its lists of
    packages included: they may be missing, and old ones name files that are gone."""
    work = Path(tempfile.mkdtemp(dir=_services()))
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "archives" / "partial").mkdir(parents=True)
    options = {"Dir::State::lists": work / "lists", "Dir::Cache": work, "Debug::NoLocking": "true"}
    options |= {"APT::Sandbox::User": "", "APT::Install-Recommends": "false", "Acquire::Retries": "3"}
    apt = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    try:
        _done([*apt, "update"], work, (0, 100))  # 100 too if some other list in use here does not answer
        told = _done([*apt, "install", "--reinstall", "--print-uris", package], work)
        files = [line.split()[1] for line in told.splitlines() if line.startswith("'")]
        wanted = [file for file in files if not file.startswith(_NOT_WANTED)]
        # Archives are named package_version_architecture, with %3a for the colon of an epoch.
        _done([*apt, "download", *("=".join(file.split("_")[:2]).replace("%3a", ":") for file in wanted)], work)
        for archive in work.glob("*.deb"):
            _done(["dpkg", "-x", str(archive), str(work / "root")], work)
        _done(["chmod", "-R", "u+rwX,go+rX", str(work / "root")], work)
        (work / "root").rename(root)
    finally:
        shutil.rmtree(work)


def _done(command: list[str], folder: Path, good: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_S)
    assert done.returncode in good, f"{' '.join(command[:1] + command[-3:])}: {done.stdout[-500:]}{done.stderr[-1500:]}"
    return done.stdout


def libraries(binary: str) -> list[str]:
    """The folders of libraries that were unpacked beside the program; none for this computer's own."""
    root = next((path for path in Path(binary).parents if path.parent == _services()), None)
    return [] if root is None else [str(p) for part in ("usr/lib", "lib") for p in root.glob(f"{part}/*-linux-gnu")]
