"""Copies what the machine has made to the remote: every sync period, when a task has ended, and at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from node import checkpoint
from node.checkpoint import CheckpointCorrupt
from node.contract import (
    AGENT_LOG,
    CHECKPOINT_DIR,
    HEARTBEAT_FILE,
    OUTPUT_DIR,
    PUSHED_FILE,
    Brief,
    attempt_dir,
    write_text,
)
from node.remote import Remote, RemoteError

log = logging.getLogger("agent.sync")

RETRY_S = 15.0


class Syncer(threading.Thread):
    """Pushes the newest sealed checkpoint (verified, LATEST last), then the output folder and the log."""

    def __init__(self, remote: Remote, work: Path, brief: Brief) -> None:
        super().__init__(name="sync", daemon=True)
        self._remote = remote
        self._work = work
        self._brief = brief
        self._checkpoints = work / CHECKPOINT_DIR
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._pushed_step: str | None = None
        self._next_push = time.monotonic() + brief.sync_s
        self._not_before = 0.0
        self.generation: str | None = None  #: the newest one verified on the remote
        self.push_s = 0.0  #: how long the last push took
        self.sent_bytes = 0  #: copied to the remote: files as long as they were, when they had changed
        self._sent: dict[Path, tuple[int, int]] = {}  # size and time of change when a file was copied last

    def restored(self, generation: str, step: str) -> None:
        """This generation is on the remote already."""
        self.generation = generation
        self._pushed_step = step

    def run(self) -> None:
        while not self._stopped.wait(0.25):
            if time.monotonic() < self._not_before:
                continue
            try:
                if self._due():
                    self.push()
            except (RemoteError, CheckpointCorrupt, OSError) as error:
                log.warning("sync failed, next try in %.0f s: %s", RETRY_S, error)
                self._not_before = time.monotonic() + RETRY_S

    def _due(self) -> bool:
        """The period is over, or a task has left its first checkpoint: hours of SCF must not wait for the period."""
        if time.monotonic() >= self._next_push:
            return True
        newest = checkpoint.newest(self._checkpoints)
        if newest is None:
            return False
        return newest.name != self.generation and checkpoint.read_manifest(newest).step != self._pushed_step

    def soon(self) -> None:
        """Do not wait for the period."""
        self._next_push = time.monotonic()

    def push(self) -> None:
        """Raises RemoteError where the remote refuses, OSError or CheckpointCorrupt where the disk does."""
        with self._lock:
            begun = time.monotonic()
            newest = checkpoint.newest(self._checkpoints)
            if newest is not None and newest.name != self.generation:
                manifest = checkpoint.read_manifest(newest)
                checkpoint.push(self._remote, self._checkpoints, newest.name)
                self.generation, self._pushed_step = newest.name, manifest.step
                self.sent_bytes += sum(mark.size for mark in manifest.files.values())
                write_text(self._work / PUSHED_FILE, newest.name)
                log.info("checkpoint %s (%s) is on the remote", newest.name, manifest.step)
            output = self._work / OUTPUT_DIR
            if any(output.iterdir()):
                self._remote.upload(output, OUTPUT_DIR)
                self._count(path for path in output.rglob("*") if path.is_file())
            folder = attempt_dir(self._brief.attempt)
            heartbeat = self._work / HEARTBEAT_FILE
            for file in (self._work / AGENT_LOG, heartbeat):
                if file.is_file():
                    self._remote.upload(file, f"{folder}/{file.name}")
                    self._count([file])
            self.push_s = time.monotonic() - begun
            self._next_push = time.monotonic() + self._brief.sync_s

    def _count(self, files: Iterable[Path]) -> None:
        """What a copy of these has sent: rclone leaves out what has not changed since."""
        for path in files:
            try:
                told = path.stat()
            except FileNotFoundError:  # written under a temporary name, and renamed since
                continue
            mark = (told.st_size, told.st_mtime_ns)
            if self._sent.get(path) != mark:
                self._sent[path] = mark
                self.sent_bytes += told.st_size

    def stop(self) -> None:
        self._stopped.set()

    def finish(self, until: float) -> str | None:
        """Push all, trying again until the time `until` (Unix seconds); the reason if that was in vain."""
        self.stop()
        while True:
            try:
                self.push()
            except (RemoteError, CheckpointCorrupt, OSError) as error:
                reason = str(error)
                log.warning("last copy failed: %s", reason)
            else:
                return None
            if time.time() + RETRY_S >= until:
                return reason
            time.sleep(RETRY_S)  # the remote is away: nothing to wait on but time, bounded by `until`
