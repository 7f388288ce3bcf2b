"""Shared records: requirements of a job, offers of the clouds, machines and their states.

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
    """A job's requirements on its machine. Ranges are inclusive; an empty list means any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_vcpus: int = Field(1, title="vCPUs, at least", description="Minimum number of vCPUs.")
    max_vcpus: int | None = Field(None, title="vCPUs, at most", description="Maximum number of vCPUs; empty: any.")
    min_memory_gib: float = Field(
        1.0, title="Memory (GiB), at least", description="Minimum memory, GiB. Raised if the integrals need more."
    )
    max_memory_gib: float | None = Field(
        None, title="Memory (GiB), at most", description="Maximum memory, GiB; empty: any."
    )
    architectures: list[Architecture] = Field(
        ["x86_64", "arm64"], title="Architectures", description="CPU architectures the programs run on."
    )
    gpu: str | None = Field(
        None, title="GPU", description="GPU name, e.g. 'L4', 'A100' (40 GiB) or 'A100 80GB'; empty: no GPU."
    )
    gpu_count: int = Field(
        0, title="GPUs", description="GPUs per machine; 0: offers with a GPU are excluded, unless `gpu` is set."
    )
    min_gpu_memory_gib: float | None = Field(
        None,
        title="GPU memory (GiB), at least",
        description="Minimum memory of each GPU as its manufacturer states it, GiB; empty: any.",
    )
    disk_gib: float = Field(20.0, title="Disk (GiB)", description="Boot disk, GiB.")
    clouds: list[str] = Field([], title="Clouds", description="Only these clouds, e.g. ['local', 'aws'].")
    regions: list[str] = Field([], title="Regions", description="Only these regions.")
    not_regions: list[str] = Field([], title="Not these regions", description="Regions to exclude.")
    max_usd_h: float | None = Field(
        None, title="Price (USD/h), at most", description="Maximum spot price, USD per hour; empty: any."
    )
    burstable: bool = Field(False, title="Burstable", description="Allow types with a throttled CPU.")
    bare_metal: bool = Field(False, title="Bare metal", description="Allow bare-metal types (slow to boot).")

    @field_validator("gpu")
    @classmethod
    def _as_offers_name_it(cls, name: str | None) -> str | None:
        """Normalize the GPU's name. An unknown name is kept, so that `check_job` can refuse it with a clear message."""
        known = card(name) if name else None
        return known.name if known else name or None

    @property
    def wants_gpu(self) -> bool:
        return self.gpu_count > 0 or self.gpu is not None or self.min_gpu_memory_gib is not None


class Offer(BaseModel):
    """One instance type in one place at one price: Linux, spot, with everything that is billed by the hour."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    instance_type: str
    region: str
    zone: str | None = None  #: None: the price applies to the whole region
    zone_id: str | None = None  #: account-independent name of the zone, if `zone` differs between accounts (AWS)
    family: str  #: types with the same CPU and build: a measurement on one applies to the others
    vcpus: int
    cores: float  #: physical cores: half the vCPUs if those are hyperthreads
    memory_gib: float
    architecture: Architecture
    gpu: str | None = None
    gpu_count: float = 0.0  #: below 1: a part of a GPU
    gpu_memory_gib: float | None = None  #: of each GPU or part, as stated by its manufacturer; None: no GPU, or unknown
    spot_usd_h: float
    on_demand_usd_h: float | None = None
    interruption: Word = "unknown"  #: blocks.interruption: thresholds on the rate
    interruptions_per_h: float | None = None  #: None: unknown
    interruption_basis: str | None = None  #: source of the rate, its figure, and the assumptions
    notice_s: float  #: seconds between the notice and the interruption
    burstable: bool = False
    bare_metal: bool = False
    boot_s: float = 120.0  #: typical time from launch to work
    disk_usd_gib_month: float = 0.0  #: list price of the boot disk; 0 if it is free
    ip_usd_h: float = 0.0  #: price of the public address that a machine needs
    egress_usd_gib: float = 0.0  #: price of traffic from the cloud to the internet
    seen_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, fields: Any) -> Any:
        """Fill in fields that earlier versions lack: a machine launched before an upgrade must still be found."""
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
        """Machines that are interrupted together: (cloud, instance type, zone or region)."""
        return (self.cloud, self.instance_type, self.zone or self.region)

    @property
    def saving(self) -> float | None:
        """Saving relative to the on-demand price, 0 to 1; None if that price is unknown."""
        return 1 - self.spot_usd_h / self.on_demand_usd_h if self.on_demand_usd_h else None

    @property
    def label(self) -> str:
        return f"{self.cloud} {self.instance_type} {self.zone or self.region}"


class Machine(BaseModel):
    """A machine created by Spotwave; its tags hold all of this."""

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
    deadline: float | None = None  #: Unix seconds by which it ends itself; None if its tags do not hold it
    disk_gib: float = 0.0  #: size of the boot disk, if one is rented

    @property
    def name(self) -> str:
        return node_name(self.job_key, self.attempt, self.node)

    @property
    def usd_h(self) -> float:
        """Total price per hour of machine, boot disk and public address, at launch prices."""
        offer = self.offer
        return offer.spot_usd_h + offer.ip_usd_h + offer.disk_usd_gib_month * self.disk_gib / HOURS_A_MONTH


class MachineState(StrEnum):
    """State of a machine in its cloud; each value notes whether the machine bills and whether that is a failure."""

    PENDING = "pending"
    """Accepted, not yet running. Bills from about now on. Not a failure before the boot deadline."""
    RUNNING = "running"
    """Running in the cloud. Bills. The work may still have stopped: a running machine without a lease is *silent*."""
    INTERRUPTED = "interrupted"
    """Being or already interrupted by the cloud. Not a failure of the job: the watcher starts the next attempt."""
    HOST_DOWN = "host down"
    """Stopped together with its host computer. Nothing bills. Neither a failure nor an interruption: the next attempt
    starts as if this one had not happened."""
    STOPPING = "stopping"
    """Shutting down, by Spotwave or on its own. May still bill. Wait until it is gone before the next attempt."""
    GONE = "gone"
    """Nothing is left that bills. A failure only if its work had not ended: the watcher decides."""


@dataclass(frozen=True)
class LaunchBrief:
    """Arguments of `launch`: the public brief, and the secrets, which travel separately.

    `secrets` maps file names in the machine's secrets folder to contents. A provider passes them through its
    cloud's secret manager, never in user data, tags or arguments.
    """

    brief: Brief
    secrets: Mapping[str, SecretStr]
    disk_gib: float = 20.0  #: size of the boot disk, if one is rented
    round: int = 1  #: number of the pass over the offers within the attempt (flows.loop.placement_rounds)

    @property
    def round_suffix(self) -> str:
        """Suffix that makes tokens and names of later rounds unique; empty in the first round. With an old token a
        cloud repeats its old answer, even if capacity is available by now."""
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
        """SHA-256 of `secret_text`, to tell whether it is already stored without reading it."""
        return sha256(self.secret_text().encode()).hexdigest()

    def secret_text(self) -> str:
        """Return the secrets as stored for a job and read by node/clouds: a JSON object {file name: content}."""
        files = {name: content.get_secret_value() for name, content in self.secrets.items()}
        return json.dumps(files, sort_keys=True)


class Leftover(BaseModel):
    """A resource other than a machine that bills, or should not outlive its job; found by its tags."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    kind: Literal["disk", "ip", "nic", "spot request", "secret"]
    id: str
    region: str = ""  #: empty: it is not in a region
    zone: str | None = None
    job_key: str
    created_at: datetime | None = None  #: None if the cloud does not report it
    deadline: float | None = None  #: Unix seconds by which its machine ends itself; None if its tags do not hold it


@dataclass(frozen=True)
class Finding:
    """Result of one check of `spotwave check`."""

    what: str  #: e.g. "quota us-east-1"
    ok: bool | None  #: None: it could not be determined
    said: str  #: what was found, and the remedy if it is a problem


@dataclass(frozen=True)
class InterruptionMethod:
    """How a cloud can be made to interrupt a machine, so that a user can see a job survive it."""

    how: str  #: what is done, worded to follow "the machine is"
    notice: bool  #: whether the machine gets a notice, as in a real interruption
    within_s: float  #: the machine is gone within this time
    usd: float = 0.0  #: the most that the cloud bills for it
