"""Copy the machine's files to the remote: every sync period, when a task has ended, and at the end."""

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
REFUSED_S = 600.0  # how long to retry files that the remote refuses while it accepts others: it may be full for a while
_LOCAL_TRIES = 2  # a disk error may be transient
_RESULT = Path(RESULT_FILE).name
_FIRST = (_RESULT, "iterations.csv", "shci.log", "FCIDUMP", "build.log")  #: output files of the node flows, sent first

Failures = dict[str, Exception]  # by part: "checkpoint", "output", "notes"


class Syncer(threading.Thread):
    """Pushes the newest sealed checkpoint (verified, LATEST last), then the output folder, then the log.

    A failure of one part does not stop the others: if a program damages its checkpoint, its output is still sent.
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
        self.generation: str | None = None  #: the newest generation verified on the remote
        self.saved_at: float | None = None  #: its time, Unix seconds; None for a checkpoint of an earlier attempt
        self.push_s = 0.0  #: duration of the last push
        self.sent_bytes = 0  #: bytes copied to the remote: the full size of each file that had changed
        self.remarks: list[str] = []  #: files that were not sent in the end, for the outcome's reason
        self._sent: dict[str, tuple[int, int]] = {}  # size and modification time when a file was last copied
        self._known: set[str] = set()  # output files already sent
        self._left_out = Outgoing()
        self._notes_sent = False

    def restored(self, generation: str, step: str) -> None:
        """Note that this generation is already on the remote."""
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
        """Return whether to push: the period is over, or a task has made its first checkpoint (after hours of SCF)."""
        if time.monotonic() >= self._next_push:
            return True
        try:
            newest = checkpoint.newest(self._checkpoints)
            if newest is None:
                return False
            return newest.name != self.generation and checkpoint.read_manifest(newest).step != self._pushed_step
        except (CheckpointCorrupt, OSError):
            return False  # the push at the end of the period reports the error

    def soon(self) -> None:
        """Push now instead of at the end of the period."""
        self._next_push = time.monotonic()

    def push(self) -> None:
        """Push all parts, then raise the first failure.

        Raises RemoteError for a failure of the remote, OSError or CheckpointCorrupt for one of the local disk.
        """
        for error in self._push().values():
            raise error

    def _push(self, parts: Collection[str] | None = None) -> Failures:
        """Push the given parts (default: all) and return the failures."""
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
            log.warning("checkpoint %s leaves out %s: this file name cannot be sent", newest.name, name)

    def _push_output(self) -> None:
        output = self._work / OUTPUT_DIR
        if folder_of_ours(output):
            log.warning("the output folder was missing or replaced by something else; created again")
        found = survey(output, _FIRST, self._known)
        self._report_left_out(found)
        if found.files:
            self._remote.upload(output, OUTPUT_DIR, names=found.files)
            self._known.update(found.files)
            for name in found.files:
                self._count(output / name)

    def _report_left_out(self, found: Outgoing) -> None:
        """Log newly omitted files, and list all of them in a file that is sent as well."""
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
        """Add a file's size to `sent_bytes` if it has changed since its last copy: rclone skips unchanged files."""
        try:
            status = path.lstat()
        except OSError:  # renamed or removed since
            return
        mark = (status.st_size, status.st_mtime_ns)
        if self._sent.get(str(path)) != mark:
            self._sent[str(path)] = mark
            self.sent_bytes += status.st_size

    def stop(self) -> None:
        self._stopped.set()

    def finish(self, until: float) -> str | None:
        """Push all parts a last time. Return the reason if the results could not be copied, else None.

        Other files that were not sent are listed in `remarks`. If the remote is unreachable, retry until the time
        `until` (Unix seconds). Errors of the local disk and files that the remote refuses while it accepts others are
        retried for a shorter time, because the machine costs money.
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
            time.sleep(self._retry_s)
            # Send the notes each time: they show whether the remote is unreachable or refuses certain files.
            given_up = {part: error for part, error in failures.items() if part not in again}
            failures = given_up | self._push({*again, "notes"})

    def _worth_a_try(self, part: str, error: Exception, failures: Failures, tries: int, begun: float) -> bool:
        if not isinstance(error, RemoteError):
            return isinstance(error, OSError) and tries < _LOCAL_TRIES  # a damaged checkpoint stays damaged
        refuses_this_alone = part != "notes" and self._is_reachable(failures)
        return not refuses_this_alone or time.monotonic() - begun < self._refused_s

    def _is_reachable(self, failures: Failures) -> bool:
        """Return whether the remote is reachable: the notes, which are small and sent last, have arrived."""
        return "notes" not in failures and self._notes_sent

    def _unsaved(self, failures: Failures) -> str | None:
        """Fill `remarks`. Return the reason if the results are not on the remote, else None."""
        if self._left_out.left_out_count:
            count = self._left_out.left_out_count
            self.remarks.append(f"{count} file{'s' * (count != 1)} left out: {self._brief.folder}/{LEFT_OUT_FILE}")
        if (error := failures.get("checkpoint")) is not None:
            self.remarks.append(f"the last checkpoint was not sent: {error}")
        if (error := failures.get("output")) is None:
            return None
        if not self._is_reachable(failures):
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
