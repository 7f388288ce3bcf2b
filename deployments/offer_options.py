"""Command-line options that describe the wanted machine, and their conversion to `Requirements`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import ValidationError

from spotwave.blocks.gpus import unknown
from spotwave.blocks.models import Requirements
from spotwave.blocks.registry import WINGS
from spotwave.blocks.validation import first_problem

Architecture = Literal["x86_64", "arm64"]
Objective = Literal["cost", "price"]


@Parameter(name="*")
@dataclass(frozen=True)
class OfferOptions:
    """Options that `prices` and `why` share."""

    vcpus: str = "16-32"
    "vCPUs, as 16-32, 16, 16- (at least) or -32 (at most)."
    memory: str = "64-256"
    "Memory in GiB, in the same form."
    arch: Annotated[list[Architecture] | None, Parameter(negative="")] = None
    "CPU architecture; may be repeated. Default: both."
    cloud: Annotated[list[str] | None, Parameter(negative="")] = None
    "Only this cloud; may be repeated."
    region: Annotated[list[str] | None, Parameter(negative="")] = None
    "Only this region; may be repeated."
    not_region: Annotated[list[str] | None, Parameter(negative="")] = None
    "Exclude this region; may be repeated."
    gpu: str | None = None
    "GPU by name, e.g. L4, A100 (40 GiB) or 'A100 80GB'."
    gpus: int = 0
    "GPUs per machine."
    gpu_memory: float | None = None
    "Minimum memory of each GPU, GiB."
    max_usd_h: float | None = None
    "Maximum spot price, USD/h."
    burstable: Annotated[bool, Parameter(negative="")] = False
    "Allow burstable types, whose CPU is throttled."
    bare_metal: Annotated[bool, Parameter(negative="")] = False
    "Allow bare metal."
    objective: Objective = "cost"
    "Rank by expected USD to finish ('cost') or by USD/h alone ('price')."
    work: float = 100.0
    "Work of the job in core-hours of a reference core (a physical x86-64 core), for the expected cost."
    disk: float = 20.0
    "Boot disk, GiB."
    results: float = 0.1
    "Results to download, GiB."

    def requirements(self) -> Requirements:
        """Return the options as requirements. Raises ValueError with the option's name and the remedy."""
        least_vcpus, most_vcpus = interval("--vcpus", self.vcpus)
        least_gib, most_gib = interval("--memory", self.memory)
        for name, value in (("--work", self.work), ("--disk", self.disk), ("--results", self.results)):
            if not 0 <= value < float("inf") or (name == "--work" and value == 0):
                raise ValueError(f"{name}: must be a positive number, not {value:g}")
        for kind in self.cloud or []:
            if kind not in WINGS:
                raise ValueError(f"--cloud: unknown cloud '{kind}'; choose from {', '.join(WINGS)}")
        if self.gpu is not None and (problem := unknown(self.gpu)) is not None:
            raise ValueError(f"--gpu: {problem}")
        try:
            return Requirements(
                min_vcpus=int(least_vcpus or 1),
                max_vcpus=None if most_vcpus is None else int(most_vcpus),
                min_memory_gib=least_gib or 0.0,
                max_memory_gib=most_gib,
                architectures=self.arch or ["x86_64", "arm64"],
                clouds=self.cloud or [],
                regions=self.region or [],
                not_regions=self.not_region or [],
                gpu=self.gpu,
                gpu_count=self.gpus,
                min_gpu_memory_gib=self.gpu_memory,
                disk_gib=self.disk,
                max_usd_h=self.max_usd_h,
                burstable=self.burstable,
                bare_metal=self.bare_metal,
            )
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error


def interval(name: str, text: str) -> tuple[float | None, float | None]:
    """Return (minimum, maximum) of "16-32", "16", "16-" or "-32". Raises ValueError with the option's name."""
    low, dash, high = text.strip().partition("-")
    try:
        least = float(low) if low else None
        most = float(high) if high else (None if dash else least)
    except ValueError:
        least = most = None
    if (least is None and most is None) or (least or 0) < 0 or (most is not None and most < (least or 0)):
        raise ValueError(f"{name}: '{text}' is not a valid range; write 16-32, 16, 16- or -32")
    return least, most
