"""Observes the end of local machines through the kernel, by a pidfd of each process, independently of the product."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.flows.kit import marked_processes

LOOK_S = 0.1  # interval of the scan for new machines; the standard library has no file events


class ExitMonitor:
    """Watches every machine that is launched in a folder: one thread scans for new ones, one per machine waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[str, float] = {}
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def end_of(self, machine_id: str) -> float | None:
        """Return the end in Unix seconds; None while the machine runs."""
        return self._ends.get(machine_id)

    def close(self) -> None:
        self._stop.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            for path in self._folder.glob("*/root.json"):
                if path.parent.name not in self._seen:
                    self._seen.add(path.parent.name)
                    threading.Thread(target=self._attend, args=[path], daemon=True).start()

    def _attend(self, root: Path) -> None:
        """Wait for its first process, then for all others."""
        name = root.parent.name
        end = _end_of(json.loads(root.read_text())["pid"])
        while left := marked_processes(name):
            end = max(_end_of(process.pid) for process in left)
        self._ends[name] = end


def _end_of(pid: int) -> float:
    """Wait for a process that need not be a child; return its end in Unix seconds. A zombie has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select([descriptor], [], [])
        finally:
            os.close(descriptor)
    return time.time()
