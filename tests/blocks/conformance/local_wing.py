"""The local cloud, for the conformance tests of all providers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import Machine, MachineState
from tests.blocks import machine_kit
from tests.blocks.conformance.wing import MachinesLike, Wing
from tests.blocks.machine_kit import IDLE


class LocalWing(Wing):
    """Its machines run in every test, since a local machine consists of nothing but its processes."""

    kind = "local"
    offer = machine_kit.offer()
    another_type = machine_kit.offer("local-2", 2)
    elsewhere = machine_kit.offer()
    parts: ClassVar = ["machine", "secret"]
    kept: ClassVar = []
    after_loss = MachineState.INTERRUPTED
    disk_gib = 0.0
    checked: ClassVar = ["machines", "bash"]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

        self.vcpus = 16

    def block(self, **fields: Any) -> LocalCloud:
        return LocalCloud(**{"folder": str(self.folder), "pretend_vcpus": self.vcpus, **fields})

    def capacity(self, machines: int) -> None:
        self.vcpus = sum(one.offer.vcpus for one in self.block().find()) + machines * self.offer.vcpus

    def machines(self, template: str | None = None) -> MachinesLike:
        return self.block().machines(IDLE if template is None else template)

    def left(self) -> list[str]:
        secrets = ["secret" for _ in self.folder.glob("*/secrets")]
        return sorted([*secrets, *("machine" for _ in self.block().find())])

    def made(self) -> int:
        return len(self.tokens())

    def tokens(self) -> list[str]:
        return [path.parent.name for path in self.folder.glob("*/machine.json")]

    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        self.block().interrupt(machine, notice_s)


@contextmanager
def made(folder: Path, boots: bool) -> Iterator[LocalWing]:
    wing = LocalWing(folder.resolve())
    try:
        yield wing
    finally:
        for machine in wing.block().find():
            wing.block().terminate(machine)
