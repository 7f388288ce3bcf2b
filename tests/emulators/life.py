"""Life cycle of an emulated machine, as far as all clouds share it: delayed visibility, boot, interruption, end.

Names of states, billing and leftovers differ between clouds: aws_fleet.py, gcp_life.py, azure_resources.py.
"""

from __future__ import annotations

import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.emulators.computer import Computer
from tests.emulators.ledger import Ledger
from tests.emulators.server import Request, Response


class Metadata(Protocol):
    """A machine's metadata service (metadata.py)."""

    def notice(self, at: float) -> object: ...

    def __call__(self, request: Request) -> Response: ...


@dataclass(kw_only=True)
class EmulatedMachine:
    """`id` as in the block's `Machine`."""

    id: str
    tags: dict[str, str]
    metadata: Metadata
    launched_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    unseen: int = 0  #: number of reads that do not list it yet
    computer: Computer | None = None

    def is_seen(self) -> bool:
        """Whether this read lists it."""
        self.unseen -= 1
        return self.unseen < 0


M = TypeVar("M", bound=EmulatedMachine)


class Life(ABC, Generic[M]):
    """All machines of one account. `boots`: whether they run their user data; otherwise they only bill.
    `folder`: folder of the machines; a temporary one if None."""

    def __init__(self, ledger: Ledger, *, boots: bool = True, folder: Path | None = None) -> None:
        self.ledger = ledger
        self.boots = boots
        self.folder = folder
        self.reach: set[int] = set()  #: ports of this computer that machines can connect to
        self.exhausted: set[tuple[str, str]] = set()  #: (type, zone or region) without capacity
        self.capacity: dict[tuple[str, str], int] = {}  #: (type, zone or region): how many more machines fit
        self.unseen = 0  #: initial value for new machines
        self.computers: dict[str, Computer] = {}  #: all that were ever booted
        self.lock = threading.RLock()
        self.closed = False
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        self._numbers = count()
        self._timers: list[threading.Timer] = []

    def room(self, type_: str, place: str) -> int:
        """For how many more machines; what it says is not taken yet."""
        return 0 if (type_, place) in self.exhausted else self.capacity.get((type_, place), 10**6)

    def take_room(self, type_: str, place: str) -> None:
        """One more machine is there."""
        if (type_, place) in self.capacity:
            self.capacity[type_, place] -= 1

    @abstractmethod
    def machine(self, id_: str) -> M:
        """Return an existing machine. Raises KeyError."""

    @abstractmethod
    def take_back(self, machine: M) -> None:
        """End it now, like a cloud that needs its capacity: its power is cut."""

    @abstractmethod
    def switched_off(self, machine: M) -> None:
        """Handle a shutdown from inside; called from a thread of its computer."""

    def interrupt(self, id_: str, notice_s: float | None) -> None:
        """Interrupt it: a notice, and the end `notice_s` later; at once with None."""
        machine = self.machine(id_)
        if notice_s is None:
            self.take_back(machine)
            return
        machine.metadata.notice(time.time() + notice_s)
        self.after(notice_s, lambda: self.take_back(machine))

    def after(self, seconds: float, work: Callable[[], None]) -> threading.Timer:
        """Do the work after some time, unless the cloud is closed before."""
        timer = threading.Timer(min(max(seconds, 0.0), threading.TIMEOUT_MAX), work)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()
        return timer

    def boot(self, machine: M, user_data: str) -> None:
        if self.folder is None:
            self._own_folder = tempfile.TemporaryDirectory(prefix="emulator-", ignore_cleanup_errors=True)
            self.folder = Path(self._own_folder.name)
        place = self.folder / f"{machine.id.rpartition('/')[2]}-{next(self._numbers)}"
        place.mkdir(parents=True)
        machine.computer = self.computers[machine.id] = Computer(
            machine.id, place, user_data, machine.metadata, self.reach, lambda: self.switched_off(machine)
        )
        machine.computer.boot()

    def close(self) -> None:
        """End all machines; returns when nothing of them runs."""
        with self.lock:
            self.closed = True
        for timer in self._timers:
            timer.cancel()
        for computer in list(self.computers.values()):
            computer.cut_power()
        if self._own_folder is not None:
            self._own_folder.cleanup()
