"""Block of the local cloud, whose machines are process trees on this computer."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field, NonNegativeFloat

from spotwave.blocks.cloud import Catalogue, Cloud
from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.home import absolute, home
from spotwave.blocks.local.capacity import LocalCapacity
from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.memory import host_memory_gib
from spotwave.blocks.local.prices import KIND, host_vcpus, local_market
from spotwave.blocks.market import Market
from spotwave.blocks.models import Finding, InterruptionMethod, LaunchBrief, Machine, MachineState, Offer


class LocalCloud(Cloud):
    """
    Machines that are process trees on this computer: nothing is rented, everything else works as in a cloud.

    It offers a few sizes, up to the whole computer, free unless prices are set. It can interrupt machines as clouds do,
    to show that a job survives it. vCPUs and memory are never shared: a launch is refused if the machines in use leave
    too few vCPUs or too little memory.

    Example:
        Two sizes, with prices to try out budgets, and an interruption with half a minute of notice:
        ```python
        from spotwave.blocks.local.block import LocalCloud

        cloud = LocalCloud(prices={"local-1": 0.01, "local-2": 0.02}, notice_s=30)
        cloud.save("here")

        for machine in cloud.find():
            cloud.interrupt(machine, notice_s=30)
        ```
    """

    _block_type_name = "Local Cloud"
    _block_type_slug = "local-cloud"

    kind: ClassVar[str] = KIND
    has_market: ClassVar[bool] = False

    folder: str | None = Field(
        None,
        title="Folder",
        description="Folder of the machines, with a subfolder each. Empty: 'machines' in Spotwave's home.",
    )
    prices: dict[str, NonNegativeFloat] = Field(
        default_factory=dict, title="Prices (USD/h)", description="USD per hour by instance type; 0 if not listed."
    )
    notice_s: float = Field(30.0, ge=0, title="Notice (s)", description="Seconds between notice and interruption.")
    max_vcpus: int | None = Field(
        None, ge=1, title="vCPUs, at most", description="vCPUs of the largest machine; empty: this computer's."
    )
    max_memory_gib: float | None = Field(
        None, gt=0, title="Memory (GiB), at most", description="GiB of the largest machine; empty: this computer's."
    )
    pretend_vcpus: int | None = Field(
        None,
        ge=1,
        title="vCPUs, pretended",
        description="For tests and demonstrations: allow as many machines at once as if this computer had this number "
        "of vCPUs, with memory in proportion. They share the real ones, and each is at most as large as this computer. "
        "Empty: the real number.",
    )

    def machines(self, template: str | None = None) -> Machines:
        """Return the machines in the block's folder; `template` replaces node/boot/bootstrap.sh."""
        folder = absolute(self.folder) if self.folder else home() / "machines"
        return Machines(Path(folder).resolve(), template, self.room)

    @property
    def room(self) -> LocalCapacity:
        """Total capacity for the machines in the folder, whichever block launched them."""
        vcpus = self.pretend_vcpus or host_vcpus()
        return LocalCapacity(vcpus, host_memory_gib() * vcpus / host_vcpus())

    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Return the offers local-1, local-2, local-4, ... up to this computer, whether or not they are free now."""
        vcpus = min(host_vcpus(), self.max_vcpus or host_vcpus())
        memory_gib = min(host_memory_gib(), self.max_memory_gib or host_memory_gib())
        return local_market(self.prices, self.notice_s, vcpus, memory_gib)

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        return self.machines().launch(offer, brief, count)

    def find(self, job_key: str | None = None) -> list[Machine]:
        return self.machines().find(job_key)

    def state(self, machine: Machine) -> MachineState:
        return self.machines().state(machine)

    def terminate(self, machine: Machine) -> None:
        self.machines().terminate(machine)

    def billed_until(self, machine: Machine) -> datetime | None:
        return self.machines().billed_until(machine)

    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        """Interrupt the machine `notice_s` seconds after a notice, or at once without one (None)."""
        self.machines().interrupt(machine, notice_s)

    def shut_down(self, machine: Machine, notice_s: float) -> None:
        """Stop the machine like a shutdown of this computer: `notice_s` seconds after a notice, not an interruption."""
        self.machines().shut_down(machine, notice_s)

    @property
    def interruption_method(self) -> InterruptionMethod:
        how = f"given a notice of {self.notice_s:g} s, and then switched off"
        return InterruptionMethod(how, notice=True, within_s=self.notice_s)

    def force_interruption(self, machine: Machine) -> None:
        # A daemon thread: if this process ends early, the machine has had its notice, and ends itself.
        interruption = threading.Thread(target=self.interrupt, args=(machine, self.notice_s), daemon=True)
        interruption.start()

    @property
    def is_local(self) -> bool:
        return True

    def check(self) -> Iterator[Finding]:
        largest = max(self.market().frame["vcpus"], default=0)
        vcpus, memory_gib = self.room.free(self.find())
        free = f"{vcpus} of {self.room.vcpus} vCPUs and {memory_gib:.1f} GiB are free"
        pretended = "" if self.pretend_vcpus is None else " (pretended)"
        message = f"process trees on this computer, of up to {largest} vCPUs; {free}{pretended}"
        yield Finding("machines", largest > 0, message)
        bash = shutil.which("bash")
        yield Finding("bash", bash is not None, bash or "not found on this computer; install it")

    def lacks_program(self, executable: str) -> str | None:
        if shutil.which(executable):
            return None
        return f"the program {executable} is not on this computer; install it or give its full path"
