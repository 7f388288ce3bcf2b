"""Where the embedded default keeps its state: `.spotwave/` in the checkout, unless SPOTWAVE_HOME names another folder.

Everything the server, the controller's worker and the local cloud write lies below it, so that two homes
(a developer's and a test's) never meet, and removing the folder removes the state.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blocks.home import ENV_HOME

ROOT = Path(__file__).resolve().parents[1]  #: the checkout


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
    def is_checkouts_own(self) -> bool:
        return self.path == ROOT / ".spotwave"

    @property
    def results(self) -> Path:
        """Where answers are collected: `results/` in the checkout; below the home if the home is elsewhere."""
        return ROOT / "results" if self.is_checkouts_own else self.path / "results"

    @property
    def prefect_toml(self) -> Path:
        """Where the API's address is left for plain `prefect` commands.

        In the checkout for the checkout's own home; any other home keeps its own, so that it never
        redirects commands typed in the checkout.
        """
        return (ROOT if self.is_checkouts_own else self.path) / "prefect.toml"

    def create(self) -> None:
        """Make the folders; closed to others, since the database and the machines' folders hold secrets."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.prefect, self.storage, self.logs, self.run, self.secrets, self.remote, self.machines):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home's lock: one `up` or `down` at a time, a second waits for the first to end.

        The lock dies with its holder, however that ends. No child inherits it.
        """
        self.create()
        with (self.run / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def home_of(environment: Mapping[str, str] | None = None) -> Home:
    """The home that this environment names (default: this process's own)."""
    named = (os.environ if environment is None else environment).get(ENV_HOME)
    return Home(Path(named).expanduser().resolve() if named else ROOT / ".spotwave")
