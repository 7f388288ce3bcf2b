"""Ratio of the chosen price to the price of the cheapest eligible offer, on recorded markets.

    python -m benchmarks.regret [--data ../shared/data]

There are 20 requirements and two recorded markets (AWS, GCP and Azure at the end of May 2022; GCP at the end of 2025).
The cheapest eligible offer is found by a simple loop over the raw rows. Prints the worst ratio of the ranking with
--objective price (`regret_price`). Also prints the worst ratio of the cheapest offer within the families that
SkyPilot 0.14 and dstack (gpuhunt 0.1.34) search for CPU jobs (`regret_skypilot_families`, `regret_dstack_families`),
if these include an eligible offer, and the number of cases without one (`..._without_offer`).
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from spotwave.blocks.market import Market
from spotwave.blocks.models import Architecture, Offer, Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DATE = "2022-05-31T23:59:59Z"
ARCHITECTURES: dict[str, Architecture] = {"x64": "x86_64", "Arm64": "arm64"}
SEEN = datetime(2022, 5, 31, tzinfo=UTC)

# Instance types in the catalogues of other tools for jobs without a GPU (from their sources).
SKYPILOT = re.compile(
    r"(m6i|m6id|m7i|r6i|r6id|r7i|c6i|c6id|c7i)\..*|(n2|n4)-.*|Standard_D\d+s_v5|Standard_E\d+s_v5|Standard_F\d+s_v2"
)
DSTACK = re.compile(
    r"(m7i|c7i|r7i|t3|c5|m5)\..*|t2\.small|(m4|c4|n4|h3|n2|e2|m1)-.*"
    r"|Standard_D\d+s_v[36]|Standard_E\d+(-\d+)?s_v[46]|Standard_F\d+s_v2"
)


def requirements() -> list[Requirements]:
    """Return 20 requirements: from few to many vCPUs, little to much memory, both architectures or one."""
    found = []
    for least, most in ((2, 4), (8, 8), (16, 32), (48, 64), (64, 128)):
        for gib_per_vcpu in (2, 4, 7.5):
            found.append(Requirements(min_vcpus=least, max_vcpus=most, min_memory_gib=least * gib_per_vcpu))
        x86 = Requirements(min_vcpus=least, max_vcpus=most, min_memory_gib=least * 4, architectures=["x86_64"])
        found.append(x86)
    return found


def offer(cloud: str, name: str, place: str, vcpus: int, gib: float, usd: float, architecture: Architecture) -> Offer:
    return Offer(
        cloud=cloud,
        instance_type=name,
        region=place,
        family=name,
        vcpus=vcpus,
        cores=vcpus / 2,
        memory_gib=gib,
        architecture=architecture,
        spot_usd_h=usd,
        burstable=bool(re.match(r"(t2|t3|t3a|t4g)\.|e2-(micro|small|medium)|(f1|g1)-|Standard_B", name)),
        bare_metal=".metal" in name,
        notice_s=30.0,
        seen_at=SEEN,
    )


def aws(data: Path) -> Iterable[Offer]:
    shapes = {}
    for page in sorted((data / "aws/describe_instance_types_2025").glob("*.json.gz")):
        for row in json.loads(gzip.decompress(page.read_bytes())):
            gpu = "GpuInfo" in row or "InferenceAcceleratorInfo" in row or "NeuronInfo" in row or "FpgaInfo" in row
            arm = "arm64" in row["ProcessorInfo"]["SupportedArchitectures"]
            if not gpu:
                vcpus, gib = row["VCpuInfo"]["DefaultVCpus"], row["MemoryInfo"]["SizeInMiB"] / 1024
                shapes[row["InstanceType"]] = (vcpus, gib, "arm64" if arm else "x86_64")
    for row in pl.read_csv(data / "aws/spot_prices_2022-05-31_17_regions.csv.gz").to_dicts():
        if row["ProductDescription"] == "Linux/UNIX" and row["InstanceType"] in shapes:
            vcpus, gib, architecture = shapes[row["InstanceType"]]
            name, zone = row["InstanceType"], row["AvailabilityZoneId"]
            yield offer("aws", name, zone, vcpus, gib, row["SpotPrice"], architecture)


def gcp(data: Path, until: str) -> Iterable[Offer]:
    table = pl.read_csv(data / "gcp/cyclenerd_machinetypes.csv.gz", separator=";", infer_schema_length=None)
    shapes = {row["NAME"]: (int(row["CPUS"]), float(row["MEMORY_GB"])) for row in table.to_dicts()}
    log = pl.read_csv(data / "gcp/machine_price_changes_2022_2025.csv.gz", infer_schema_length=None)
    last = (
        log.filter(pl.col("generated_utc") <= until)
        .sort("generated_utc", maintain_order=True)
        .unique(["MachineType", "Region"], keep="last", maintain_order=True)
        .drop_nulls("SpotUSDh")
    )
    for row in last.to_dicts():
        name = row["MachineType"]
        # The listed price of an accelerator type does not include its GPU or TPU.
        if name in shapes and not re.match(r"a[234]|g[24]|.*-tpu|ct", name):
            arm = re.match(r"t2a|c4a|n4a", name) is not None
            yield offer("gcp", name, row["Region"], *shapes[name], float(row["SpotUSDh"]), "arm64" if arm else "x86_64")


def azure(data: Path) -> Iterable[Offer]:
    table = pl.read_csv(data / "azure/vm-skus.csv.gz")
    shapes = {
        row["Name"]: (row["vCPUs"], float(row["MemoryGB"]), ARCHITECTURES[row["CpuArchitectureType"]])
        for row in table.to_dicts()
        if str(row["LowPriorityCapable"]) == "True" and not row["Name"].startswith("Standard_N")
    }
    log = pl.read_csv(data / "azure/spot_price_changes_2022.csv.gz")
    last = (
        log.filter(pl.col("snapshot_utc") <= DATE)
        .sort("snapshot_utc", maintain_order=True)
        .unique(["armSkuName", "armRegionName"], keep="last", maintain_order=True)
    )
    for row in last.to_dicts():
        if row["armSkuName"] in shapes and row["retailPrice"]:
            vcpus, gib, architecture = shapes[row["armSkuName"]]
            yield offer("azure", row["armSkuName"], row["armRegionName"], vcpus, gib, row["retailPrice"], architecture)


def cheapest(offers: list[Offer], wanted: Requirements) -> float | None:
    """Return the lowest price; a simple loop, so that no code under test is used."""
    prices = [
        one.spot_usd_h
        for one in offers
        if wanted.min_vcpus <= one.vcpus <= (wanted.max_vcpus or one.vcpus)
        and one.memory_gib >= wanted.min_memory_gib
        and one.architecture in wanted.architectures
        and not one.burstable
        and not one.bare_metal
        and one.spot_usd_h > 0
    ]
    return min(prices) if prices else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    if not data.exists():
        sys.stderr.write("regret: skipped, the recorded markets are missing (--data)\n")
        return
    markets = [[*aws(data), *gcp(data, DATE), *azure(data)], list(gcp(data, "9999"))]
    worst = {"price": 1.0, "skypilot_families": 1.0, "dstack_families": 1.0}
    without = {"skypilot_families": 0, "dstack_families": 0}
    for offers in markets:
        market = Market.of(offers)
        for wanted in requirements():
            least = cheapest(offers, wanted)
            assert least is not None, f"the recorded market has no offer for {wanted}"
            choice = rank(market, wanted, Work(core_h=100.0), {}, objective="price")
            worst["price"] = max(worst["price"], choice.ranked[0].offer.spot_usd_h / least)
            for name, families in (("skypilot_families", SKYPILOT), ("dstack_families", DSTACK)):
                found = cheapest([one for one in offers if families.fullmatch(one.instance_type)], wanted)
                if found is None:
                    without[name] += 1
                else:
                    worst[name] = max(worst[name], found / least)
    for name, value in worst.items():
        sys.stdout.write(f"regret_{name} {value:.2f}\n")
    for name, count in without.items():
        sys.stdout.write(f"regret_{name}_without_offer {count}\n")


if __name__ == "__main__":
    main()
