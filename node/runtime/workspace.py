"""The node run's interface to the machine's work folder: files shared with the agent, checkpoints and output.

All node flows use it, whatever they compute.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefect.exceptions import TerminationSignal

from spotwave.node.contract import (
    BRIEF_FILE,
    CHECKPOINT_DIR,
    ENGINE_PID_FILE,
    ENV_WORK,
    OUTCOME_FILE,
    OUTPUT_DIR,
    PROGRESS_FILE,
    PUSHED_FILE,
    STOP_FILE,
    Brief,
    Cause,
    Ending,
    Outcome,
    Progress,
    write_text,
)
from spotwave.node.runtime.errors import StopAsked
from spotwave.node.runtime.progress_bar import ProgressBar
from spotwave.node.storage import checkpoint
from spotwave.node.untrusted.own_files import remove_tree

SAVED_S = 60.0  # longest wait at the end of a step for its checkpoint to be on the remote


class Workspace:
    """Work folder of one attempt. The node flow creates this object when it starts."""

    def __init__(self) -> None:
        """Write the pid file for the agent. Raises KeyError if not run on a machine."""
        self.work = Path(os.environ[ENV_WORK])
        self.brief = Brief.from_json((self.work / BRIEF_FILE).read_text())
        self.scratch = self.work / "scratch"
        self.output = self.work / OUTPUT_DIR
        self.checkpoints = self.work / CHECKPOINT_DIR
        for folder in (self.scratch, self.output, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        self._bar = ProgressBar()
        self._step = ""
        self._at_stop: Callable[[], object] | None = None
        write_text(self.work / ENGINE_PID_FILE, str(os.getpid()))

    def restored(self) -> checkpoint.Manifest | None:
        """Return the manifest of the checkpoint that the agent has restored, or None if there is none.

        Raises CheckpointCorrupt if its files differ from the sealed ones.
        """
        newest = checkpoint.newest(self.checkpoints)
        return checkpoint.verify(newest) if newest is not None else None

    def take(self, name: str, to: Path) -> Path | None:
        """Copy a file from the newest checkpoint and return `to`; None if the file or the checkpoint does not exist.

        It must be a copy, not a link, because programs write into their files.
        """
        newest = checkpoint.newest(self.checkpoints)
        if newest is None or not (newest / name).is_file():
            return None
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(newest / name, to)
        return to

    def seal(self, step: str, files: Mapping[str, Path], facts: Mapping[str, Any]) -> None:
        """Make the next checkpoint. Afterwards `files` may be replaced by renaming but not modified in place."""
        generation = checkpoint.next_generation(self.checkpoints, self.brief.attempt)
        checkpoint.seal(self.checkpoints, generation, files, facts, step=step)

    def until_saved(self, within_s: float = SAVED_S) -> bool:
        """Wait until the newest checkpoint is on the remote, so that the loss of the machine cannot destroy it.

        For the end of a long step, whose checkpoint the agent sends at once. Return False if it takes too long (the
        remote is unreachable): the work continues, and the agent keeps trying.
        """
        newest = checkpoint.newest(self.checkpoints)
        limit = time.monotonic() + within_s
        while newest is not None and self._pushed() < newest.name:
            if time.monotonic() >= limit or self.stop_asked() is not None:
                return False
            time.sleep(0.05)  # the agent is not a child process, so there is nothing to wait on
        return True

    def _pushed(self) -> str:
        try:
            return (self.work / PUSHED_FILE).read_text()
        except FileNotFoundError:
            return ""

    def tell(self, step: str, percent: float, note: str) -> None:
        """Report progress: for the bar in the UI and the line that the controller logs."""
        self._step = step
        Progress(step, round(percent, 1), note).write(self.work / PROGRESS_FILE)
        self._bar.show(percent, f"{step}: {note}")

    def stop_asked(self) -> Outcome | None:
        """Return the agent's request to stop, or None."""
        try:
            return Outcome.from_json((self.work / STOP_FILE).read_text())
        except FileNotFoundError:
            return None

    def go_on(self) -> None:
        """Raise StopAsked if the agent has requested a stop. Call it between steps.

        A library may have swallowed the signal during a callback.
        """
        if (stop := self.stop_asked()) is not None:
            raise StopAsked(stop.reason)

    def at_stop(self, save: Callable[[], object]) -> None:
        """Register `save`, to be called once for a last checkpoint when the agent requests a stop."""
        self._at_stop = save

    def save_at_stop(self) -> None:
        if (save := self._at_stop) is None:
            return
        try:
            save()
        except TerminationSignal:  # it arrives shortly after the stop file, and only once
            save()

    def make_room(self) -> None:
        """Delete the scratch folder (integrals, working files), which no other machine needs."""
        remove_tree(self.scratch)

    def end(
        self,
        ending: Ending,
        reason: str,
        *,
        cause: Cause | None = None,
        signal: int | None = None,
        exit_status: int | None = None,
    ) -> None:
        """Write the outcome for the agent, with the last reported step. A node flow calls this last."""
        outcome = Outcome(ending, reason, cause=cause, signal=signal, exit_status=exit_status, step=self._step)
        outcome.write(self.work / OUTCOME_FILE)
        self._bar.end()
