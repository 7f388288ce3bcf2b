"""What a wing brings along to be held to the contract of `blocks/cloud.py` by the tests of this folder: its block, its
offers, and a cloud (an emulator, or a folder of this computer) in which machines can be ended, hidden and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.models import LaunchBrief, Machine, MachineState, Offer
from tests.blocks import machine_kit
from tests.blocks.machine_kit import JOB_KEY
from tests.emulators.computer import Computer
from tests.emulators.emulated_cloud import EmulatedCloud
from tests.emulators.server import Answer, Fault, Request, Response

OTHER_JOB = "sw-ba9876543210"
PLANTED = "planted-3f9c1e"  # in the job's secret, and nowhere else
SECRETS = {"rclone.conf": f"[drive]\ntype = local\npass = {PLANTED}\n", "api.json": "{}"}
FOREVER = 10**9


class MachinesLike(Protocol):
    """Of every wing: the same calls as a block's, with another bootstrap or less patience."""

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]: ...
    def find(self, job_key: str | None = None) -> list[Machine]: ...
    def state(self, machine: Machine) -> MachineState: ...
    def terminate(self, machine: Machine) -> None: ...


def brief(job_key: str = JOB_KEY, attempt: int = 1, secrets: Mapping[str, str] = SECRETS, **public: Any) -> LaunchBrief:
    return machine_kit.brief(job_key, attempt, secrets, disk_gib=30.0, **public)


class Wing(ABC):
    kind: ClassVar[str]
    offer: ClassVar[Offer]
    another_type: ClassVar[Offer]  #: in the same place
    elsewhere: ClassVar[Offer]  #: as far away as this cloud allows
    parts: ClassVar[list[str]]  #: all that a living machine consists of, sorted
    disk_gib: ClassVar[float] = 30.0  #: of a machine for which so much was asked
    kept: ClassVar[list[str]]  #: what stays for the job's next attempt
    after_loss: ClassVar[MachineState]  #: of a machine that was taken back
    checked: ClassVar[list[str]]  #: what `check` looks at

    @abstractmethod
    def block(self, **fields: Any) -> Cloud:
        """As a process has it that remembers nothing."""

    @abstractmethod
    def machines(self, template: str | None = None) -> MachinesLike:
        """Of a block that remembers nothing, with little patience; template: None: one that is idle or the real one."""

    @abstractmethod
    def left(self) -> list[str]:
        """The kinds of all that is there, sorted."""

    @abstractmethod
    def made(self) -> int:
        """How many machines there ever were."""

    @abstractmethod
    def tokens(self) -> list[str]:
        """By which launches were asked for, in their order; what a cloud takes for the same has the same."""

    @abstractmethod
    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        """The cloud takes it back."""

    def launch(self, what: LaunchBrief | None = None, offer: Offer | None = None) -> Machine:
        return self.machines().launch(offer or self.offer, what or brief())[0]

    def launch_all(self, what: LaunchBrief, offer: Offer | None = None) -> list[Machine]:
        return self.machines().launch(offer or self.offer, what, what.brief.nodes)

    @abstractmethod
    def capacity(self, machines: int) -> None:
        """The place of `offer` has room for so many more."""


class RentedWing(Wing):
    """One whose cloud is emulated. `calls`: the API's words for what the tests speak of."""

    emulator: EmulatedCloud
    calls: ClassVar[Mapping[str, str]]  #: launch, list, state, end, secret, identity, leftovers, remove
    launch_of_all: ClassVar[str] = "launch"  #: the call of a launch of several machines
    next_zone: ClassVar[Offer]  #: the same type, in the same region
    denied: ClassVar[Mapping[str, Answer]]  #: the launcher may not; '': any other call
    remedies: ClassVar[Mapping[str, str]]  #: what is said then; '': of any other call
    most_tries: ClassVar[int]  #: of a launch that is not answered
    longest_token: ClassVar[int]
    secret_calls: ClassVar[set[str]]  #: that may hold the job's secret
    secret_name: ClassVar[str] = f"spotwave-{JOB_KEY}"
    orphans: ClassVar[list[str]]  #: kinds that `orphan` leaves, sorted
    during_notice: ClassVar[MachineState] = MachineState.RUNNING
    after_poweroff: ClassVar[MachineState] = MachineState.STOPPING  #: of its own: what is left of it bills
    states: ClassVar[list[tuple[tuple[str, str], MachineState]]]  #: the cloud's own words, and what they mean

    @staticmethod
    @abstractmethod
    def server_error(request: Request, said: Response) -> Response: ...

    @staticmethod
    @abstractmethod
    def throttled(request: Request, said: Response) -> Response: ...

    @abstractmethod
    def put_into(self, machine: Machine, state: tuple[str, str]) -> None:
        """One of `states`."""

    @abstractmethod
    def user_data(self, machine: Machine) -> str:
        """The script that it was launched with."""

    @abstractmethod
    def forget_offer(self, machine: Machine) -> None:
        """As if the offer in its tags was written by a newer version."""

    @abstractmethod
    def orphan(self, machine: Machine) -> None:
        """It ends, and its parts stay."""

    @abstractmethod
    def no_quota(self, region: str) -> None: ...

    @abstractmethod
    def close(self, region: str) -> None:
        """Who runs the account forbids the region."""

    @abstractmethod
    def secret_reader(self, machine: Machine, token: str | None = None) -> Callable[[], int]:
        """Asks for the job's secret as the machine itself does, or with a token that it does not have; the status."""

    @abstractmethod
    def ended_itself(self, machine: Machine) -> bool:
        """Whether the cloud was asked for it by the machine."""

    @abstractmethod
    def not_here(self) -> Cloud:
        """The block at the cloud's real address."""

    def go_away(self) -> None:
        """Nobody answers."""
        self.emulator.away = True

    def small_pages(self) -> None:
        """Lists come in many pages, where the wing asks for pages."""

    def stop(self, machine: Machine) -> None:
        """Its guest has switched it off."""
        self.emulator.life.switched_off(self.emulator.life.machine(machine.id))

    def hide(self, machine: Machine, reads: int) -> None:
        """So many reads do not know it yet."""
        self.emulator.life.machine(machine.id).unseen = reads

    def disown(self, machine: Machine) -> None:
        """As if it was somebody else's."""
        tags = self.emulator.life.machine(machine.id).tags
        tags.clear()
        tags["team"] = "other"

    def capacity(self, machines: int) -> None:
        self.emulator.life.capacity[self.offer.instance_type, self.offer.zone or self.offer.region] = machines

    def refuse(self, call: str, answer: Answer, times: int = FOREVER) -> None:
        """Calls of `calls` are not done, and answered so."""
        self._fail(call, answer, times, instead=True)

    def spoil(self, call: str, answer: Answer, times: int = FOREVER) -> None:
        """They are done, and the answer is this."""
        self._fail(call, answer, times, instead=False)

    def deny(self, call: str, times: int = FOREVER) -> None:
        self.refuse(call, self.denied.get(call, self.denied[""]), times)

    def _fail(self, call: str, answer: Answer, times: int, instead: bool) -> None:
        emulator, name = self.emulator, self.calls[call]
        self.emulator.fail(
            Fault(lambda request: emulator.name_of(request).partition(" ")[0] == name, answer, times, instead=instead)
        )

    def asked(self, call: str) -> int:
        """How often."""
        return self.emulator.count(self.calls[call])

    def remedy(self, call: str) -> str:
        return self.remedies.get(call, self.remedies[""])

    def computer(self, machine: Machine) -> Computer:
        return self.emulator.computers[machine.id]

    def left(self) -> list[str]:
        return self.emulator.left()

    def made(self) -> int:
        return len(self.emulator.ledger.items("machine"))

    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        self.emulator.interrupt(machine.id, notice_s)
