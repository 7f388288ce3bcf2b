"""Copies what the machine has made to the remote: every sync period, when a task has ended, and at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from spotwave.node.contract import (
    AGENT_LOG,
    CHECKPOINT_DIR,
    HEARTBEAT_FILE,
    LEFT_OUT_FILE,
    OUTPUT_DIR,
    PUSHED_FILE,
    RESULT_FILE,
    Brief,
    write_text,
)
from spotwave.node.storage import checkpoint
from spotwave.node.storage.checkpoint import CheckpointCorrupt
from spotwave.node.storage.outgoing import Outgoing, survey
from spotwave.node.storage.remote import Remote, RemoteError
from spotwave.node.untrusted.own_files import folder_of_ours, is_regular

log = logging.getLogger("agent.sync")

RETRY_S = 15.0
REFUSED_S = 600.0  # how long a remote that takes other files may refuse some: it may be full, and be given room
_LOCAL_TRIES = 2  # a disk that failed once may not fail again
_RESULT = Path(RESULT_FILE).name
_FIRST = (_RESULT, "iterations.csv", "shci.log", "FCIDUMP", "build.log")  #: the node flows' own names in the output

Failures = dict[str, Exception]  # by part: "checkpoint", "output", "notes"


class Syncer(threading.Thread):
    """Pushes the newest sealed checkpoint (verified, LATEST last), then the output folder, then the log.

    Each whatever becomes of the others: a program can spoil its checkpoint, and its output is sent all the same.
    """

    def __init__(
        self, remote: Remote, work: Path, brief: Brief, *, retry_s: float = RETRY_S, refused_s: float = REFUSED_S
    ) -> None:
        super().__init__(name="sync", daemon=True)
        self._remote = remote
        self._work = work
        self._brief = brief
        self._retry_s, self._refused_s = retry_s, refused_s
        self._checkpoints = work / CHECKPOINT_DIR
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._pushed_step: str | None = None
        self._next_push = time.monotonic() + brief.sync_s
        self._not_before = 0.0
        self.generation: str | None = None  #: the newest one verified on the remote
        self.saved_at: float | None = None  #: Unix seconds, when that was; None for a checkpoint of an earlier attempt
        self.push_s = 0.0  #: how long the last push took
        self.sent_bytes = 0  #: copied to the remote: files as long as they were, when they had changed
        self.remarks: list[str] = []  #: what did not get there for good, for the outcome
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of change when a file was copied last
        self._known: set[str] = set()  # names in the output that were sent
        self._left_out = Outgoing()
        self._notes_sent = False

    def restored(self, generation: str, step: str) -> None:
        """This generation is on the remote already."""
        self.generation = generation
        self._pushed_step = step

    def run(self) -> None:
        while not self._stopped.wait(0.25):
            if time.monotonic() < self._not_before or not self._due():
                continue
            failures = self._push()
            for part, error in failures.items():
                log.warning("sync of the %s failed, next try in %.0f s: %s", part, self._retry_s, error)
            if failures:
                self._not_before = time.monotonic() + self._retry_s

    def _due(self) -> bool:
        """The period is over, or a task has left its first checkpoint: hours of SCF must not wait for the period."""
        if time.monotonic() >= self._next_push:
            return True
        try:
            newest = checkpoint.newest(self._checkpoints)
            if newest is None:
                return False
            return newest.name != self.generation and checkpoint.read_manifest(newest).step != self._pushed_step
        except (CheckpointCorrupt, OSError):
            return False  # told when the period is over

    def soon(self) -> None:
        """Do not wait for the period."""
        self._next_push = time.monotonic()

    def push(self) -> None:
        """All of it. Raises the first failure: RemoteError where the remote refuses, OSError or CheckpointCorrupt
        where the disk does."""
        for error in self._push().values():
            raise error

    def _push(self, parts: Collection[str] | None = None) -> Failures:
        """Push these parts, or all; what came in the way of each."""
        steps: dict[str, Callable[[], None]] = {
            "checkpoint": self._push_checkpoint,
            "output": self._push_output,
            "notes": self._push_notes,
        }
        failures: Failures = {}
        with self._lock:
            begun = time.monotonic()
            for part, step in steps.items():
                if parts is not None and part not in parts:
                    continue
                try:
                    step()
                except (RemoteError, CheckpointCorrupt, OSError) as error:
                    failures[part] = error
            if not failures:
                self.push_s = time.monotonic() - begun
            if not any(isinstance(error, RemoteError) for error in failures.values()):
                self._next_push = time.monotonic() + self._brief.sync_s
        return failures

    def _push_checkpoint(self) -> None:
        newest = checkpoint.newest(self._checkpoints)
        if newest is None or newest.name == self.generation:
            return
        manifest = checkpoint.read_manifest(newest)
        checkpoint.push(self._remote, self._checkpoints, newest.name)
        self.generation, self._pushed_step, self.saved_at = newest.name, manifest.step, time.time()
        self.sent_bytes += sum(mark.size for mark in manifest.files.values())
        write_text(self._work / PUSHED_FILE, newest.name)
        log.info("checkpoint %s (%s) is on the remote", newest.name, manifest.step)
        for name in manifest.facts.get("left_out", ()):
            log.warning("checkpoint %s leaves out %s: its name cannot travel", newest.name, name)

    def _push_output(self) -> None:
        output = self._work / OUTPUT_DIR
        if folder_of_ours(output):
            log.warning("the output folder was gone, or something else stood there: made again")
        found = survey(output, _FIRST, self._known)
        self._tell_left_out(found)
        if found.files:
            self._remote.upload(output, OUTPUT_DIR, names=found.files)
            self._known.update(found.files)
            for name in found.files:
                self._count(output / name)

    def _tell_left_out(self, found: Outgoing) -> None:
        """In the log, where it is new, and in a file that comes home with it."""
        before = {name for name, _ in self._left_out.left_out}
        for name, why in found.left_out:
            if name not in before:
                log.warning("left out: %s: %s", name, why)
        if found.left_out_count and found.report != self._left_out.report:
            write_text(self._work / LEFT_OUT_FILE, found.report)
        self._left_out = found

    def _push_notes(self) -> None:
        folder = self._brief.folder
        self._notes_sent = False
        for name in (LEFT_OUT_FILE, AGENT_LOG, HEARTBEAT_FILE):
            file = self._work / name
            if is_regular(file):
                self._remote.upload(file, f"{folder}/{name}")
                self._count(file)
                self._notes_sent = True

    def _count(self, path: Path) -> None:
        """What a copy of it has sent: rclone leaves out what has not changed since."""
        try:
            told = path.lstat()
        except OSError:  # written under a temporary name, and renamed since
            return
        mark = (told.st_size, told.st_mtime_ns)
        if self._sent.get(str(path)) != mark:
            self._sent[str(path)] = mark
            self.sent_bytes += told.st_size

    def stop(self) -> None:
        self._stopped.set()

    def finish(self, until: float) -> str | None:
        """Push all; the reason if the results could not be copied. What else did not get there is in `remarks`.

        A remote that is away is tried again until the time `until` (Unix seconds). What is wrong here, on the disk,
        will be so in an hour too, and files that a remote refuses while it takes others are not waited for much
        longer: the machine costs money.
        """
        self.stop()
        begun, tries = time.monotonic(), 0
        failures = self._push()
        while True:
            tries += 1
            for part, error in failures.items():
                log.warning("last copy of the %s failed: %s", part, error)
            again = [part for part, error in failures.items() if self._worth_a_try(part, error, failures, tries, begun)]
            if not again or time.time() + self._retry_s >= until:
                return self._unsaved(failures)
            time.sleep(self._retry_s)  # the remote is away: nothing to wait on but time, bounded by `until`
            # The notes each time: they tell a remote that is away from one that refuses.
            given_up = {part: error for part, error in failures.items() if part not in again}
            failures = given_up | self._push({*again, "notes"})

    def _worth_a_try(self, part: str, error: Exception, failures: Failures, tries: int, begun: float) -> bool:
        if not isinstance(error, RemoteError):
            return isinstance(error, OSError) and tries < _LOCAL_TRIES  # a damaged checkpoint stays so
        refuses_this_alone = part != "notes" and self._is_there(failures)
        return not refuses_this_alone or time.monotonic() - begun < self._refused_s

    def _is_there(self, failures: Failures) -> bool:
        """The notes are small, and are sent after all the rest: where they arrive, the remote is not away."""
        return "notes" not in failures and self._notes_sent

    def _unsaved(self, failures: Failures) -> str | None:
        """Whether the results are on the remote in spite of these, and the remarks."""
        if self._left_out.left_out_count:
            count = self._left_out.left_out_count
            self.remarks.append(f"{count} file{'s' * (count != 1)} left out: {self._brief.folder}/{LEFT_OUT_FILE}")
        if (error := failures.get("checkpoint")) is not None:
            self.remarks.append(f"the last checkpoint was not sent: {error}")
        if (error := failures.get("output")) is None:
            return None
        if not self._is_there(failures):
            return str(error)
        try:
            there = {entry.path: entry.size for entry in self._remote.list(OUTPUT_DIR)}
            result = self._work / OUTPUT_DIR / _RESULT
            whole = is_regular(result) and there.get(_RESULT) == result.lstat().st_size
        except (RemoteError, OSError):
            return str(error)
        if not whole:
            return str(error)
        self.remarks.append(f"not all of the output was sent: {error}")
        return None
