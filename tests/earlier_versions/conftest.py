"""State that earlier versions of Spotwave wrote: each set's README.md describes its files, make.sh how it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from spotwave.blocks.snapshots import SnapshotStore

HERE = Path(__file__).parent
COMMITS = sorted(path.name for path in HERE.iterdir() if (path / "jobs.json").exists())


@dataclass(frozen=True)
class Earlier:
    """The files of one version; they must not be changed."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def store(self) -> SnapshotStore:
        return SnapshotStore(url=str(self.home / "store"))

    @cached_property
    def jobs(self) -> dict[str, str]:
        """Return the job keys by the jobs' fate: completed, capped, interrupted, ..."""
        return {what: fields["key"] for what, fields in self.json("jobs.json").items()}

    def json(self, name: str | Path) -> Any:
        return json.loads((self.folder / name).read_text())

    def files(self, name: str) -> list[Path]:
        """Return all files of that name; there must be at least one."""
        found = sorted(self.folder.rglob(name))
        assert found, f"{self.folder.name} has no {name}"
        return found

    def remote(self, what: str) -> Path:
        """Return the job's folder on the remote."""
        return self.home / "remote" / self.jobs[what]

    def asked(self, what: str) -> dict[str, Any]:
        """Return the job from its job.json."""
        found = json.loads((self.remote(what) / "job.json").read_text())["job"]
        assert isinstance(found, dict)
        return found


@pytest.fixture(params=COMMITS)
def earlier(request: pytest.FixtureRequest) -> Earlier:
    return Earlier(HERE / request.param)
