"""A running job under test, and everything that can be done to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from spotwave.node.contract import CHECKPOINT_DIR, LATEST_FILE
from tests.faults.hooked import Plan
from tests.faults.testbed import Testbed
from tests.flows.kit import Job, eventually
from tests.processes import kill_each


@dataclass
class Live:
    """One job on one testbed, whose planned process waits."""

    testbed: Testbed
    job: Job
    plan: Plan

    @property
    def key(self) -> str:
        return self.job.key

    @property
    def remote(self) -> Path:
        return self.testbed.remote / self.key

    @property
    def machine(self) -> str:
        """Return the newest machine's id."""
        return self.testbed.machine_ids(self.key)[-1]

    def kill(self, module: str) -> None:
        """SIGKILL the machine's processes that run this module."""
        found = self.testbed.find(self.machine, module)
        assert found, f"nothing runs '{module}'"
        kill_each(found)

    def generations(self) -> dict[str, int]:
        """Return the data size in bytes of every checkpoint on the remote that has a manifest."""
        found = {}
        for path in (self.remote / CHECKPOINT_DIR).glob("*/manifest.json"):
            found[path.parent.name] = sum(one["size"] for one in json.loads(path.read_text())["files"].values())
        return found

    def latest(self) -> str:
        path = self.remote / LATEST_FILE
        return path.read_text().strip() if path.exists() else ""

    def two_generations(self) -> None:
        """Wait for two checkpoints: one to corrupt and one to fall back on."""
        eventually("two checkpoints are on the remote", lambda: len(self.generations()) > 1, 60)

    def ended(self, number: int) -> bool:
        """Whether that many machines have ended."""
        ids, lives = self.testbed.machine_ids(self.key), self.testbed.lives(self.key)
        gone = [one for one in ids if not self.testbed.processes(one)]
        return len(lives) >= number and len(gone) >= number
