"""Node flow of a drill: counts seconds, saves the count, and shows after a loss that the count resumes."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

from prefect.logging import get_run_logger

from spotwave.node.contract import COUNT_FILE, write_text
from spotwave.node.runtime.run import node_job
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage.checkpoint import CheckpointCorrupt

TICK_S = 1.0
SEAL_S = 15.0
MORE_S = 3.0  # how long a machine continues to count after it has resumed


class Count:
    """State of a drill: a number of seconds that only grows, and a token that identifies the job.

    Raises CheckpointCorrupt if the restored checkpoint is not one of a drill.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._file = workspace.scratch / COUNT_FILE
        before = workspace.restored()
        self.resumed_from = before.generation if before is not None else None
        self.resumed_at = 0
        self.token = token_hex(16)
        self.seconds = 0
        if before is not None:
            kept = workspace.take(COUNT_FILE, self._file)
            self.token, self.seconds = _read(kept)
            self.resumed_at = self.seconds

    def keep(self, step: str) -> None:
        """Seal a checkpoint. `step` names it; a checkpoint with a new step name is sent at once."""
        write_text(self._file, json.dumps({"token": self.token, "seconds": self.seconds}))
        self._workspace.seal(step, {COUNT_FILE: self._file}, {"seconds": self.seconds})

    def result(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "seconds": self.seconds,
            "resumed_from": self.resumed_from,
            "resumed_at": self.resumed_at,
            "finished_by": self._workspace.brief.attempt,
            "host": platform.node(),
            "wall_seconds": {"count": float(self.seconds)},
            "answer": f"{self.seconds} s counted",
        }


@node_job("drill-node")
def drill_node(workspace: Workspace, wait_s: float) -> dict[str, Any]:
    """Count seconds until the machine is reclaimed, at most `wait_s` seconds.

    A machine that finds a checkpoint resumes the count for a few seconds and completes.
    """
    log = get_run_logger()
    count = Count(workspace)
    workspace.at_stop(lambda: count.keep("end"))
    if count.resumed_from is None:
        count.keep("begin")
        if not workspace.until_saved():
            log.warning("the checkpoint is not on the remote yet; continuing")
    else:
        log.info("resumed from checkpoint %s, at %d s", count.resumed_from, count.resumed_at)
    count_on(workspace, count, wait_s if count.resumed_from is None else MORE_S)
    return count.result()


def count_on(workspace: Workspace, count: Count, for_s: float) -> None:
    """Count seconds and save the count now and then. Raises StopAsked, TerminationSignal."""
    begun, kept = time.monotonic(), time.monotonic()
    while (spent := time.monotonic() - begun) < for_s:
        workspace.tell("count", 100 * spent / for_s, f"{count.seconds} s counted")
        time.sleep(TICK_S)  # counting is the work itself
        workspace.go_on()
        count.seconds += 1
        if time.monotonic() - kept >= SEAL_S:
            kept = time.monotonic()
            count.keep("count")


def _read(kept: Path | None) -> tuple[str, int]:
    if kept is None:
        raise CheckpointCorrupt(f"the checkpoint has no {COUNT_FILE}: it is not one of a drill")
    try:
        content = json.loads(kept.read_text())
        return str(content["token"]), int(content["seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointCorrupt(f"{COUNT_FILE} cannot be read: {error}") from error
