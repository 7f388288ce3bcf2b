"""The home: the folder with a user's state (blocks/home.py determines which), and its subfolders.

The server, the controller's worker and the local cloud write only below it. So two homes (a developer's and a test's)
share nothing, and removing the folder removes the state.
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


class HomeUnusable(Exception):
    """The home cannot be used, for example because it is another user's. The message is one line for the user."""


@dataclass(frozen=True)
class Home:
    """Paths of the home's subfolders, and their creation."""

    path: Path

    @property
    def prefect(self) -> Path:
        """PREFECT_HOME: the server's SQLite file and Prefect's other files."""
        return self.path / "prefect"

    @property
    def storage(self) -> Path:
        """Persisted task results, which let a restarted controller skip completed steps."""
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
        """Note with the home's old path; exists until the block documents are updated."""
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
        """TMPDIR of all started processes.

        Prefect's runner uses a folder of a fixed name there. In a shared temporary folder it could be another user's.
        """
        return self.path / "tmp"

    def create(self) -> None:
        """Create the folders, accessible to the owner only. Raises HomeUnusable.

        Permissions that an earlier version left open are corrected recursively.
        """
        try:
            for folder in (self.path, self.results):
                folder.parent.mkdir(parents=True, exist_ok=True)
                _make_private(folder)
            for folder in (*self.parts, self.storage):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(
                f"{ENV_HOME}: {error.filename or self.path} cannot be created or used ({error.strerror}). {_REMEDY}"
            ) from error

    def check_owner(self) -> None:
        """Check that the home, if it exists, is this user's; the content of another's cannot be trusted.

        Raises HomeUnusable.
        """
        try:
            if self.path.stat().st_uid != os.geteuid():
                raise HomeUnusable(_foreign_message(self.path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise HomeUnusable(f"{ENV_HOME}: {self.path} cannot be used ({error.strerror}). {_REMEDY}") from error

    @property
    def parts(self) -> tuple[Path, ...]:
        """The subfolders that Spotwave creates, without results."""
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
        """Hold the home's lock, so that `up` and `down` run one at a time.

        The lock is released when the process ends for any reason. Child processes do not inherit it.
        """
        self.create()
        with flocked(self.run / "lock"):
            yield


@contextmanager
def flocked(path: Path) -> Iterator[None]:
    """Hold the lock on the file, which is created if missing; waits while another process holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _foreign_message(folder: Path) -> str:
    return f"{ENV_HOME}: {folder} belongs to another user. {_REMEDY}"


def _make_private(folder: Path) -> None:
    """Create the folder, or make an existing one accessible to the owner only.

    If the folder was open to others, its content is closed too, because it may be linked or open elsewhere. Symbolic
    links are not followed. Raises HomeUnusable.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise HomeUnusable(_foreign_message(folder))
    if not status.st_mode & _OTHERS:
        return
    folder.chmod(0o700)
    for parent, _, names in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in names)):
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def home_of(environment: Mapping[str, str] | None = None) -> Home:
    """Return the home of an environment (default: this process's)."""
    return Home(home_path(environment))
