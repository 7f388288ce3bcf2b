"""The home: the folder that holds a user's state (blocks/home.py says which), and the folders in it.

Everything that the server, the controller's worker and the local cloud write lies below it, so that two homes (a
developer's and a test's) share nothing, and removing the folder removes the state.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotwave.blocks.home import ENV_HOME
from spotwave.blocks.home import home as home_path

ROOT = Path(__file__).resolve().parents[1]  #: the checkout, if the package is installed from one


_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_REMEDY = f"Set {ENV_HOME} to a folder of your own."


class NotOurs(Exception):
    """A folder of the home is somebody else's; the message is one line for the user."""


@dataclass(frozen=True)
class Home:
    """The folders of one embedded default."""

    path: Path

    @property
    def prefect(self) -> Path:
        """PREFECT_HOME: the server's SQLite file and Prefect's own odds and ends."""
        return self.path / "prefect"

    @property
    def storage(self) -> Path:
        """Persisted task results: what lets a restarted controller skip what it has already done."""
        return self.path / "prefect" / "storage"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Notes on running processes, the remembered port, the registration stamp, the lock."""
        return self.path / "run"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def remote(self) -> Path:
        """The default rclone remote: a plain folder."""
        return self.path / "remote"

    @property
    def store(self) -> Path:
        """The default snapshot store: a plain folder."""
        return self.path / "store"

    @property
    def machines(self) -> Path:
        """The local cloud's machines."""
        return self.path / "machines"

    @property
    def moved_from(self) -> Path:
        """A note: where this home was before, as long as documents may still name that place."""
        return self.run / "moved-from"

    @property
    def engines(self) -> Path:
        """A lock file for each job, held by the process that executes it (flows/loop/run_lock.py)."""
        return self.prefect / "engines"

    @property
    def results(self) -> Path:
        """Where results are collected unless the run was started with another folder (deployments/results.py)."""
        return self.path / "results"

    @property
    def temporary(self) -> Path:
        """TMPDIR of all that is started: Prefect's runner takes a folder of a fixed name there, which in a temporary
        folder that all users share could be somebody else's."""
        return self.path / "tmp"

    def create(self) -> None:
        """Make the folders, closed to others; one that an earlier version left open is put right, with all that is in
        it. Raises NotOurs."""
        try:
            for folder in (self.path, self.results):
                folder.parent.mkdir(parents=True, exist_ok=True)
                _make_private(folder)
            for folder in (*self.parts, self.storage):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotOurs(
                f"{ENV_HOME}: {error.filename or self.path} cannot be made or used ({error.strerror}). {_REMEDY}"
            ) from error

    def check_ours(self) -> None:
        """Raises NotOurs if the home is there and another user's: nothing in it can be believed, or read."""
        try:
            if self.path.stat().st_uid != os.geteuid():
                raise NotOurs(_another_users(self.path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise NotOurs(f"{ENV_HOME}: {self.path} cannot be used ({error.strerror}). {_REMEDY}") from error

    @property
    def parts(self) -> tuple[Path, ...]:
        """The folders that are the home's own, and nobody else's."""
        return (
            self.prefect,
            self.logs,
            self.run,
            self.secrets,
            self.remote,
            self.store,
            self.machines,
            self.temporary,
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home's lock: one `up` or `down` at a time, a second waits for the first to end.

        The lock dies with its holder, however that ends. No child inherits it.
        """
        self.create()
        with flocked(self.run / "lock"):
            yield


@contextmanager
def flocked(path: Path) -> Iterator[None]:
    """Hold the lock in the file, which is made; a second holder waits."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _another_users(folder: Path) -> str:
    return f"{ENV_HOME}: {folder} is another user's. {_REMEDY}"


def _make_private(folder: Path) -> None:
    """The folder, the owner's alone. What is in one that stood open is closed too: it may be linked or open elsewhere.

    Links are not followed. Raises NotOurs.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    told = folder.stat()
    if told.st_uid != os.geteuid():
        raise NotOurs(_another_users(folder))
    if not told.st_mode & _OTHERS:
        return
    folder.chmod(0o700)
    for parent, _, names in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in names)):
            told = path.lstat()
            if not stat.S_ISLNK(told.st_mode) and told.st_uid == os.geteuid() and told.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(told.st_mode) & ~_OTHERS)


def home_of(environment: Mapping[str, str] | None = None) -> Home:
    """The home that this environment names (default: this process's own)."""
    return Home(home_path(environment))
