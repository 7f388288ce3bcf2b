"""What is asked for, what is offered, what runs: the records that every wing and every step speaks in.

Prices are USD per hour, memory and disk GiB, times seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from spotwave.blocks.gpus import card
from spotwave.blocks.interruption import Word, word_of
from spotwave.node.contract import Brief
from spotwave.node.identity import MOST_NODES, node_files, node_name

Architecture = Literal["x86_64", "arm64"]

HOURS_A_MONTH = 730.0  # as all three clouds count


class Requirements(BaseModel):
    """What a job needs of its machine. Ranges are inclusive; an empty list means any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_vcpus: int = Field(1, title="vCPUs, at least", description="Fewest vCPUs.")
    max_vcpus: int | None = Field(None, title="vCPUs, at most", description="Most vCPUs; empty: any.")
    min_memory_gib: float = Field(
        1.0, title="Memory (GiB), at least", description="Least memory, GiB. Raised to what the integrals need."
    )
    max_memory_gib: float | None = Field(
        None, title="Memory (GiB), at most", description="Most memory, GiB; empty: any."
    )
    architectures: list[Architecture] = Field(
        ["x86_64", "arm64"], title="Architectures", description="CPU architectures the programs run on."
    )
    gpu: str | None = Field(
        None, title="GPU", description="GPU name, e.g. 'L4', 'A100' (40 GiB) or 'A100 80GB'; empty: none wanted."
    )
    gpu_count: int = Field(
        0, title="GPUs", description="GPUs per machine; 0: offers with a GPU are left out, unless one is asked for."
    )
    min_gpu_memory_gib: float | None = Field(
        None,
        title="GPU memory (GiB), at least",
        description="Least memory of each GPU as its maker states it, GiB; empty: any.",
    )
    disk_gib: float = Field(20.0, title="Disk (GiB)", description="Boot disk, GiB.")
    clouds: list[str] = Field([], title="Clouds", description="Only these clouds, e.g. ['local', 'aws'].")
    regions: list[str] = Field([], title="Regions", description="Only these regions.")
    not_regions: list[str] = Field([], title="Not these regions", description="Regions to leave out.")
    max_usd_h: float | None = Field(
        None, title="Price (USD/h), at most", description="Dearest spot price, USD per hour; empty: any."
    )
    burstable: bool = Field(False, title="Burstable", description="Allow types that throttle their CPU.")
    bare_metal: bool = Field(False, title="Bare metal", description="Allow bare-metal types (slow to boot).")

    @field_validator("gpu")
    @classmethod
    def _as_offers_name_it(cls, name: str | None) -> str | None:
        """One name a card. A name that no card has stays, for `check_job` to refuse in a line of ours."""
        known = card(name) if name else None
        return known.name if known else name or None

    @property
    def wants_gpu(self) -> bool:
        return self.gpu_count > 0 or self.gpu is not None or self.min_gpu_memory_gib is not None


class Offer(BaseModel):
    """One instance type in one place at one price: Linux, spot, with every part that bills by the hour."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    instance_type: str
    region: str
    zone: str | None = None  #: None: the price holds in the whole region
    zone_id: str | None = None  #: the zone's name for all accounts, where `zone` is one account's own (AWS)
    family: str  #: types of one CPU and build: what is measured on one holds for the others
    vcpus: int
    cores: float  #: physical cores: half the vCPUs where they are hyperthreads
    memory_gib: float
    architecture: Architecture
    gpu: str | None = None
    gpu_count: float = 0.0  #: below 1: a part of a GPU
    gpu_memory_gib: float | None = None  #: of each GPU, or of the part, as its maker states it; None: none, or unknown
    spot_usd_h: float
    on_demand_usd_h: float | None = None
    interruption: Word = "unknown"  #: blocks.interruption: thresholds on the rate
    interruptions_per_h: float | None = None  #: None: nobody tells
    interruption_basis: str | None = None  #: who tells the rate, what they say, and what was assumed
    notice_s: float  #: seconds between notice and loss
    burstable: bool = False
    bare_metal: bool = False
    boot_s: float = 120.0  #: from launch to work, as a rule
    disk_usd_gib_month: float = 0.0  #: the boot disk's list price; 0 where it costs nothing
    ip_usd_h: float = 0.0  #: of the public address that a machine needs to be of use
    egress_usd_gib: float = 0.0  #: what leaves the cloud for the internet
    seen_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, fields: Any) -> Any:
        """A machine that was launched before an upgrade must be found after it: it bills."""
        if isinstance(fields, dict):
            return {"family": fields.get("instance_type"), "cores": fields.get("vcpus"), **fields}
        return fields

    @model_validator(mode="before")
    @classmethod
    def _word_of_its_rate(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(per_h := fields.get("interruptions_per_h"), int | float):
            return {**fields, "interruption": word_of(per_h)}
        return fields

    @property
    def pool(self) -> tuple[str, str, str]:
        """What is taken back together: (cloud, instance type, zone or region)."""
        return (self.cloud, self.instance_type, self.zone or self.region)

    @property
    def saving(self) -> float | None:
        """Against the on-demand price, 0 to 1; None if that is unknown."""
        return 1 - self.spot_usd_h / self.on_demand_usd_h if self.on_demand_usd_h else None

    @property
    def label(self) -> str:
        return f"{self.cloud} {self.instance_type} {self.zone or self.region}"


class Machine(BaseModel):
    """A machine of ours, found again by its tags alone."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    id: str
    region: str
    zone: str | None = None
    offer: Offer
    job_key: str
    attempt: int
    node: int = Field(default=0, ge=0, lt=MOST_NODES)  #: which of the attempt's machines; node 0 leads
    launched_at: datetime
    deadline: float | None = None  #: Unix seconds by which it ends itself; None where its tags do not tell
    disk_gib: float = 0.0  #: of the boot disk, where one is rented

    @property
    def name(self) -> str:
        return node_name(self.job_key, self.attempt, self.node)

    @property
    def usd_h(self) -> float:
        """All that bills by the hour: machine, boot disk, public address; at the prices of the launch."""
        offer = self.offer
        return offer.spot_usd_h + offer.ip_usd_h + offer.disk_usd_gib_month * self.disk_gib / HOURS_A_MONTH


class MachineState(StrEnum):
    """What the cloud says of a machine, whether it bills, and who may take it for a failure."""

    PENDING = "pending"
    """Accepted, not yet running. Bills from about now on. Never a failure before the boot deadline."""
    RUNNING = "running"
    """The cloud runs it. Bills. Says nothing of the work: a running machine with no lease is *silent*."""
    INTERRUPTED = "interrupted"
    """The cloud takes or has taken it back. No failure of the job: the watcher starts the next attempt."""
    HOST_DOWN = "host down"
    """Stopped together with the computer that it ran on, by whoever owns that. Nothing bills. Neither a failure nor an
    interruption: the next attempt is begun as if this one had not been."""
    STOPPING = "stopping"
    """On its way down, by us or by itself. May still bill. Wait until it is gone before a next attempt."""
    GONE = "gone"
    """Nothing is left that bills. A failure only if its work had not ended: the watcher decides."""


@dataclass(frozen=True)
class LaunchBrief:
    """What `launch` is given: the public brief, and the secrets that travel apart from it.

    `secrets` maps file names in the machine's secrets folder to contents; a wing hands them over by its
    cloud's secret manager, never by user data, tags or arguments.
    """

    brief: Brief
    secrets: Mapping[str, SecretStr]
    disk_gib: float = 20.0  #: the boot disk, where one is rented
    round: int = 1  #: which walk of the attempt this is (flows.loop.placement_rounds)

    @property
    def anew(self) -> str:
        """What tells a launch from that of an earlier round of the same attempt, in tokens and names: a cloud gives an
        old token its old answer, though there is room by now. Empty in the first round."""
        return f" round {self.round}" if self.round > 1 else ""

    def of_node(self, node: int) -> LaunchBrief:
        """For another machine of the attempt. Raises IndexError if there is no such node."""
        return replace(self, brief=self.brief.of_node(node))

    @property
    def node_secrets(self) -> dict[str, SecretStr]:
        """The secret files of the brief's node; a secret manager keeps those of all nodes together."""
        return node_files(self.secrets, self.brief.node)

    @property
    def secret_digest(self) -> str:
        """SHA-256 of `secret_text`: whether it has been written already can be told without it."""
        return sha256(self.secret_text().encode()).hexdigest()

    def secret_text(self) -> str:
        """What a secret manager keeps of a job, and node/clouds reads: a JSON object {file name: content}."""
        files = {name: content.get_secret_value() for name, content in self.secrets.items()}
        return json.dumps(files, sort_keys=True)


class Leftover(BaseModel):
    """Something of ours beside a machine that bills, or should not outlive its job; found by its tags alone."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    kind: Literal["disk", "ip", "nic", "spot request", "secret"]
    id: str
    region: str = ""  #: empty: it belongs to no region
    zone: str | None = None
    job_key: str
    created_at: datetime | None = None  #: None where the cloud does not tell
    deadline: float | None = None  #: Unix seconds by which its machine ends itself; None where its tags do not tell


@dataclass(frozen=True)
class Finding:
    """One thing that `spotwave check` looked at."""

    what: str  #: e.g. "quota us-east-1"
    ok: bool | None  #: None: it could not be told
    said: str  #: what was found; for what is not in order also the remedy


@dataclass(frozen=True)
class InterruptionMethod:
    """How a cloud can be made to take a machine back, so that a user sees a job survive it."""

    how: str  #: what is done, in words that follow "the machine is"
    notice: bool  #: whether the machine is told beforehand, as in an interruption of the cloud's own
    within_s: float  #: by then the machine is gone
    usd: float = 0.0  #: what the cloud bills for it, at most
