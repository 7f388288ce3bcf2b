"""The node run's side of the machine's folder: the notes it exchanges with the agent, its checkpoints, its output.

Any node flow uses it; what is computed is the flow's own business.
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

SAVED_S = 60.0  # how long the end of a step may wait for its checkpoint to be safe


class Workspace:
    """One attempt's working place. Made by the node flow when it starts."""

    def __init__(self) -> None:
        """Tells the agent which process to signal. Raises KeyError outside of a machine."""
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
        """The checkpoint that the agent has restored, or None at a fresh start.

        Raises CheckpointCorrupt if its files are not as they were sealed.
        """
        newest = checkpoint.newest(self.checkpoints)
        return checkpoint.verify(newest) if newest is not None else None

    def take(self, name: str, to: Path) -> Path | None:
        """Copy a file out of the newest checkpoint (a copy, for programs write into theirs); None if it has none."""
        newest = checkpoint.newest(self.checkpoints)
        if newest is None or not (newest / name).is_file():
            return None
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(newest / name, to)
        return to

    def seal(self, step: str, files: Mapping[str, Path], facts: Mapping[str, Any]) -> None:
        """Make the next checkpoint. `files` must be replaced by renaming afterwards, never written into."""
        generation = checkpoint.next_generation(self.checkpoints, self.brief.attempt)
        checkpoint.seal(self.checkpoints, generation, files, facts, step=step)

    def until_saved(self, within_s: float = SAVED_S) -> bool:
        """Wait until the newest checkpoint is on the remote, where the loss of the machine cannot reach it.

        For the end of a long step, which the agent sends at once. False if that takes too long (the remote is
        away): then the work goes on, and the agent keeps trying.
        """
        newest = checkpoint.newest(self.checkpoints)
        limit = time.monotonic() + within_s
        while newest is not None and self._pushed() < newest.name:
            if time.monotonic() >= limit or self.stop_asked() is not None:
                return False
            time.sleep(0.05)  # the agent is another process, and no child of ours
        return True

    def _pushed(self) -> str:
        try:
            return (self.work / PUSHED_FILE).read_text()
        except FileNotFoundError:
            return ""

    def tell(self, step: str, percent: float, note: str) -> None:
        """Progress for people: the bar in the UI, and the line that the controller logs."""
        self._step = step
        Progress(step, round(percent, 1), note).write(self.work / PROGRESS_FILE)
        self._bar.show(percent, f"{step}: {note}")

    def stop_asked(self) -> Outcome | None:
        """Why the agent wants the work to end, if it does."""
        try:
            return Outcome.from_json((self.work / STOP_FILE).read_text())
        except FileNotFoundError:
            return None

    def go_on(self) -> None:
        """Between two steps: a signal may have been swallowed by a library in the midst of a callback.

        Raises StopAsked.
        """
        if (stop := self.stop_asked()) is not None:
            raise StopAsked(stop.reason)

    def at_stop(self, save: Callable[[], object]) -> None:
        """Have `save` called once when the agent asks the work to end, for a last checkpoint."""
        self._at_stop = save

    def save_at_stop(self) -> None:
        if (save := self._at_stop) is None:
            return
        try:
            save()
        except TerminationSignal:  # it comes a moment after the note that announces it, and only once
            save()

    def make_room(self) -> None:
        """Give up what no other machine will need: the integrals, a program's working files."""
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
        """Tell the agent how it ended, at the step that was told last; the last thing a node flow does."""
        told = Outcome(ending, reason, cause=cause, signal=signal, exit_status=exit_status, step=self._step)
        told.write(self.work / OUTCOME_FILE)
        self._bar.end()
