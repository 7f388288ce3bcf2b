"""Base of the three emulated clouds: a service whose machines boot and bill."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Any, Self

from tests.emulators.computer import Computer
from tests.emulators.ledger import Ledger
from tests.emulators.life import Life
from tests.emulators.server import Emulator, Request, Response


class EmulatedCloud(Emulator):
    """`received` has every request as it came, including refused ones."""

    def __init__(self, latency_s: float, life: Life[Any]) -> None:
        super().__init__(latency_s)
        self.life = life
        self.received: list[Request] = []

    def __enter__(self) -> Self:
        self.life.reach.add(self._server.server_port)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.life.close()

    def serve(self, request: Request) -> Response:
        self.received.append(request)
        return super().serve(request)

    @property
    @abstractmethod
    def secrets(self) -> dict[str, str]:
        """The newest version of each existing secret, by name."""

    @property
    def ledger(self) -> Ledger:
        return self.life.ledger

    @property
    def reach(self) -> set[int]:
        return self.life.reach

    @property
    def exhausted(self) -> set[tuple[str, str]]:
        return self.life.exhausted

    @property
    def computers(self) -> dict[str, Computer]:
        return self.life.computers

    def count(self, call: str) -> int:
        """Return how often a call was made, by its name without arguments."""
        return sum(one.partition(" ")[0] == call for one in self.calls)

    def left(self) -> list[str]:
        """Return the sorted kinds of all resources that bill, or must not be left behind."""
        return sorted(item.kind for item in self.ledger.left())

    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """Interrupt the machine as the cloud does; returns at once."""
        self.life.interrupt(machine_id, notice_s)
