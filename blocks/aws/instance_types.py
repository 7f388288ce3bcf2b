"""Shapes of instance types (EC2 API, DescribeInstanceTypeOfferings and DescribeInstanceTypes).

A type's shape is the same everywhere. So every region is asked for its type names, and each shape is read once: some
calls of a hundred names, all at once, instead of one long chain of pages per region.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from spotwave.blocks.aws.clients import AT_MOST, HOME, Clients
from spotwave.blocks.aws.table_part import Part, named
from spotwave.blocks.concurrent import OnProgress, gather
from spotwave.blocks.gpus import card_of

TYPES = {
    "instance_type": pl.String,
    "family": pl.String,
    "vcpus": pl.Int32,
    "cores": pl.Float64,
    "memory_gib": pl.Float64,
    "architecture": pl.String,
    "gpu": pl.String,
    "gpu_count": pl.Float64,
    "gpu_memory_gib": pl.Float64,
    "burstable": pl.Boolean,
    "bare_metal": pl.Boolean,
    "no_use": pl.String,
}
_NAMES = 100  # per DescribeInstanceTypes call; the API's limit
_GPU_MAKERS = {"NVIDIA", "AMD"}  # Habana's accelerators are listed among the GPUs too
_OTHERS = ("InferenceAcceleratorInfo", "NeuronInfo", "FpgaInfo", "MediaAcceleratorInfo")
# Boot modes of the images that Spotwave launches, by architecture: all are of type hvm and on EBS (images.py). Ubuntu
# and Amazon Linux 2023 are published as uefi-preferred for x86_64, so both modes work, and as uefi for arm64.
_BOOTS = {"x86_64": {"uefi", "legacy-bios"}, "arm64": {"uefi"}}


def read_types(clients: Clients, regions: Sequence[str], tell: OnProgress) -> Part:
    """Return every type that one of the regions has, as in `types_frame`."""

    def names(region: str) -> set[str]:
        operation, member = "describe_instance_type_offerings", "InstanceTypeOfferings"
        return {row["InstanceType"] for row in clients.rows("ec2", region, operation, member, LocationType="region")}

    def shapes(region: str, batch: list[str]) -> list[dict[str, Any]]:
        return list(clients.rows("ec2", region, "describe_instance_types", "InstanceTypes", InstanceTypes=batch))

    offered, unread = gather({region: partial(names, region) for region in regions}, AT_MOST, tell)
    questions = {
        f"{batch[0]} to {batch[-1]} in {region}": partial(shapes, region, batch)
        for region, batch in _shared_out(offered)
    }

    def further(done: int, total: int) -> None:
        tell(len(regions) + done, len(regions) + total)

    answers, failed = gather(questions, AT_MOST, further)
    missing = named(unread, "instance types", len(regions)) | named(failed, "instance types", len(questions))
    return Part(types_frame(row for rows in answers.values() for row in rows), missing)


def _shared_out(offered: Mapping[str, set[str]]) -> list[tuple[str, list[str]]]:
    """Assign each name once, in batches, to a region that has it, beginning with the region with the most types."""
    known: set[str] = set()
    batches = []
    for region in sorted(offered, key=lambda region: (region != HOME, -len(offered[region]))):
        new = sorted(offered[region] - known)
        known.update(new)
        batches += [(region, new[start : start + _NAMES]) for start in range(0, len(new), _NAMES)]
    return batches


def types_frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Convert rows of DescribeInstanceTypes; `no_use` is the reason why a type is never offered, null if it can be."""
    return pl.DataFrame([_type(row) for row in rows], schema=TYPES, orient="row").unique(
        "instance_type", keep="first", maintain_order=True
    )


def _type(row: Mapping[str, Any]) -> tuple[Any, ...]:
    name = row["InstanceType"]
    cpu = row.get("VCpuInfo") or {}
    vcpus = cpu.get("DefaultVCpus")
    memory_mib = (row.get("MemoryInfo") or {}).get("SizeInMiB")
    gpu, gpu_count, gpu_memory_gib = _gpu(row)
    return (
        name,
        name.partition(".")[0],
        vcpus,
        cpu.get("DefaultCores", vcpus),
        memory_mib / 1024 if memory_mib else None,
        _architecture(row),
        gpu,
        gpu_count,
        gpu_memory_gib,
        bool(row.get("BurstablePerformanceSupported")),
        bool(row.get("BareMetal")),
        _no_use(row),
    )


def _gpus(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (row.get("GpuInfo") or {}).get("Gpus") or []


def _architecture(row: Mapping[str, Any]) -> str | None:
    known = (row.get("ProcessorInfo") or {}).get("SupportedArchitectures") or []
    return next((kind for kind in _BOOTS if kind in known), None)


def _gpu(row: Mapping[str, Any]) -> tuple[str | None, float, float | None]:
    """Return name, count and GiB of each. For a shared GPU, Count is 0 and the share is in GpuPartitionSize.

    One name of EC2 may be two cards, e.g. A100 and V100: the memory tells them apart.
    """
    gpus = _gpus(row)
    if not gpus:
        return None, 0.0, None
    count = float(
        sum(gpu.get("Count") or gpu.get("LogicalGpuCount", 0) * gpu.get("GpuPartitionSize", 1.0) for gpu in gpus)
    )
    name = gpus[0].get("Name", "")
    gib = (gpus[0].get("MemoryInfo") or {}).get("SizeInMiB", 0) / 1024
    # A shared GPU reports the memory of the part.
    known = card_of(name, gib / gpus[0].get("GpuPartitionSize", 1.0))
    if known is None:
        return name, count, gib or None
    return known.name, count, known.part_gib(count)


def _no_use(row: Mapping[str, Any]) -> str | None:
    if "spot" not in (row.get("SupportedUsageClasses") or []):
        return "type without spot"
    if not boots(row):
        return "type that Spotwave's images do not boot on"
    if any(row.get(kind) for kind in _OTHERS) or any(gpu.get("Manufacturer") not in _GPU_MAKERS for gpu in _gpus(row)):
        return "accelerator that is not a GPU"
    return None


def boots(row: Mapping[str, Any]) -> bool:
    """Whether Spotwave's images boot on the type, by the type's own description. Missing fields count as fitting.

    CurrentGeneration is not a criterion: m4, c4 and r4 run current images, as do t2 and i3. A type that accepts
    paravirtual images (c1, c3, m1, m2, m3, t1) is left out even if it also lists hvm: EC2's own matrix of Linux AMIs by
    instance type had only PV for most of them.
    """
    virtualization = set(row.get("SupportedVirtualizationTypes") or ["hvm"])
    root = set(row.get("SupportedRootDeviceTypes") or ["ebs"])
    modes = set(row.get("SupportedBootModes") or ["legacy-bios", "uefi"])
    architecture = _architecture(row)
    return (
        virtualization == {"hvm"}
        and "ebs" in root
        and architecture is not None
        and not modes.isdisjoint(_BOOTS[architecture])
    )
