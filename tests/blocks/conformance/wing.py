"""Base classes that adapt a provider to the conformance tests of this folder: its block, its offers, and a cloud (an
emulator, or a folder of this computer) in which machines can be interrupted, hidden and counted."""

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
PLANTED = "planted-3f9c1e"  # occurs only in the job's secret
SECRETS = {"rclone.conf": f"[drive]\ntype = local\npass = {PLANTED}\n", "api.json": "{}"}
FOREVER = 10**9


class MachinesLike(Protocol):
    """Machines of any provider: the same calls as a block's, with another bootstrap or shorter timeouts."""

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
    elsewhere: ClassVar[Offer]  #: in another region if the cloud has regions
    parts: ClassVar[list[str]]  #: kinds of all resources of a running machine, sorted
    disk_gib: ClassVar[float] = 30.0  #: expected size of the disk
    kept: ClassVar[list[str]]  #: kinds kept for the job's next attempt
    after_loss: ClassVar[MachineState]  #: of an interrupted machine
    checked: ClassVar[list[str]]  #: names of the findings of `check`

    @abstractmethod
    def block(self, **fields: Any) -> Cloud:
        """Return a new block, as in a new process."""

    @abstractmethod
    def machines(self, template: str | None = None) -> MachinesLike:
        """Return the machines of a new block with short timeouts; template: None: an idle one or the real one."""

    @abstractmethod
    def left(self) -> list[str]:
        """Return the kinds of all existing resources, sorted."""

    @abstractmethod
    def made(self) -> int:
        """Return how many machines were ever created."""

    @abstractmethod
    def tokens(self) -> list[str]:
        """Return the tokens of all launches in order; the cloud treats launches with equal tokens as the same."""

    @abstractmethod
    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        """Interrupt the machine as the cloud does."""

    def launch(self, what: LaunchBrief | None = None, offer: Offer | None = None) -> Machine:
        return self.machines().launch(offer or self.offer, what or brief())[0]

    def launch_all(self, what: LaunchBrief, offer: Offer | None = None) -> list[Machine]:
        return self.machines().launch(offer or self.offer, what, what.brief.nodes)

    @abstractmethod
    def capacity(self, machines: int) -> None:
        """The place of `offer` has room for so many more."""


class RentedWing(Wing):
    """A provider with an emulated cloud. `calls`: the API's names of the calls in the tests."""

    emulator: EmulatedCloud
    calls: ClassVar[Mapping[str, str]]  #: launch, list, state, end, secret, identity, leftovers, remove
    launch_of_all: ClassVar[str] = "launch"  #: the call of a launch of several machines
    next_zone: ClassVar[Offer]  #: the same type, in the same region
    denied: ClassVar[Mapping[str, Answer]]  #: answers for a missing permission; '': any other call
    remedies: ClassVar[Mapping[str, str]]  #: expected remedies; '': any other call
    most_tries: ClassVar[int]  #: of a launch without an answer
    longest_token: ClassVar[int]
    secret_calls: ClassVar[set[str]]  #: calls that may contain the job's secret
    secret_name: ClassVar[str] = f"spotwave-{JOB_KEY}"
    orphans: ClassVar[list[str]]  #: kinds that `orphan` leaves, sorted
    during_notice: ClassVar[MachineState] = MachineState.RUNNING
    after_poweroff: ClassVar[MachineState] = MachineState.STOPPING  #: after a shutdown from inside: its parts bill
    states: ClassVar[list[tuple[tuple[str, str], MachineState]]]  #: states in the cloud, and their mapping

    @staticmethod
    @abstractmethod
    def server_error(request: Request, said: Response) -> Response: ...

    @staticmethod
    @abstractmethod
    def throttled(request: Request, said: Response) -> Response: ...

    @abstractmethod
    def put_into(self, machine: Machine, state: tuple[str, str]) -> None:
        """Set one of `states`."""

    @abstractmethod
    def user_data(self, machine: Machine) -> str:
        """Return the script that it was launched with."""

    @abstractmethod
    def forget_offer(self, machine: Machine) -> None:
        """Make the offer in its tags unreadable, as if written by a newer version."""

    @abstractmethod
    def orphan(self, machine: Machine) -> None:
        """End the machine but keep its parts."""

    @abstractmethod
    def no_quota(self, region: str) -> None: ...

    @abstractmethod
    def close(self, region: str) -> None:
        """Forbid the region by a policy of the account's administrators."""

    @abstractmethod
    def secret_reader(self, machine: Machine, token: str | None = None) -> Callable[[], int]:
        """Return a function that reads the secret with the machine's token, or another, and returns the status."""

    @abstractmethod
    def ended_itself(self, machine: Machine) -> bool:
        """Whether the machine itself asked the cloud to end it."""

    @abstractmethod
    def not_here(self) -> Cloud:
        """Return the block with the cloud's real address."""

    def go_away(self) -> None:
        """Stop answering."""
        self.emulator.away = True

    def small_pages(self) -> None:
        """Make lists come in many pages, if the provider supports pages."""

    def stop(self, machine: Machine) -> None:
        """Shut the machine down from inside."""
        self.emulator.life.switched_off(self.emulator.life.machine(machine.id))

    def hide(self, machine: Machine, reads: int) -> None:
        """Hide the machine from a number of reads."""
        self.emulator.life.machine(machine.id).unseen = reads

    def disown(self, machine: Machine) -> None:
        """Make the machine belong to another owner."""
        tags = self.emulator.life.machine(machine.id).tags
        tags.clear()
        tags["team"] = "other"

    def capacity(self, machines: int) -> None:
        self.emulator.life.capacity[self.offer.instance_type, self.offer.zone or self.offer.region] = machines

    def refuse(self, call: str, answer: Answer, times: int = FOREVER) -> None:
        """Answer these calls (keys of `calls`) without executing them."""
        self._fail(call, answer, times, instead=True)

    def spoil(self, call: str, answer: Answer, times: int = FOREVER) -> None:
        """Execute these calls, but replace the answer."""
        self._fail(call, answer, times, instead=False)

    def deny(self, call: str, times: int = FOREVER) -> None:
        self.refuse(call, self.denied.get(call, self.denied[""]), times)

    def _fail(self, call: str, answer: Answer, times: int, instead: bool) -> None:
        emulator, name = self.emulator, self.calls[call]
        self.emulator.fail(
            Fault(lambda request: emulator.name_of(request).partition(" ")[0] == name, answer, times, instead=instead)
        )

    def asked(self, call: str) -> int:
        """Return how often the call was made."""
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
