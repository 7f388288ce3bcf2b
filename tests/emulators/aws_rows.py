"""Rows of the emulated Amazon in boto3's format: zones, types, prices, products; all numbers are deterministic."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zlib import crc32

LINUX = "Linux/UNIX"


def dice(*what: object) -> float:
    """Return a number in [0, 1) that is always the same for the same arguments."""
    return crc32(" ".join(map(str, what)).encode()) / 2**32


def zone_row(region: str, letter: str, **changes: Any) -> dict[str, Any]:
    return {
        "ZoneName": f"{region}{letter}",
        "ZoneId": f"{region.replace('-', '')}-az{ord(letter[-1]) - 96}",
        "RegionName": region,
        "ZoneType": "availability-zone",
        "State": "available",
        "OptInStatus": "opt-in-not-required",
        **changes,
    }


def shape(name: str, vcpus: int, gib: float, architecture: str = "x86_64", **changes: Any) -> dict[str, Any]:
    """Return a row of DescribeInstanceTypes; on Graviton a vCPU is a core, on x86 a thread."""
    threads = 1 if architecture == "arm64" or vcpus == 1 else 2
    row = {
        "InstanceType": name,
        "CurrentGeneration": True,
        "SupportedUsageClasses": ["on-demand", "spot"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "SupportedVirtualizationTypes": ["hvm"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedBootModes": ["uefi"] if architecture == "arm64" else ["legacy-bios", "uefi"],
        "ProcessorInfo": {"SupportedArchitectures": [architecture], "SustainedClockSpeedInGhz": 3.4},
        "VCpuInfo": {
            "DefaultVCpus": vcpus,
            "DefaultCores": vcpus // threads,
            "DefaultThreadsPerCore": threads,
            "ValidCores": [vcpus // threads],
        },
        "MemoryInfo": {"SizeInMiB": int(gib * 1024)},
        "BurstablePerformanceSupported": False,
    }
    return {**row, **changes}


def gpus(name: str, count: int, mib: int, maker: str = "NVIDIA", share: float = 1.0) -> dict[str, Any]:
    """Return a GpuInfo; a shared GPU has Count 0, LogicalGpuCount 1 and its share."""
    whole = share == 1.0
    return {
        "Gpus": [
            {
                "Name": name,
                "Manufacturer": maker,
                "Count": count if whole else 0,
                "LogicalGpuCount": count if whole else 1,
                "GpuPartitionSize": share,
                "MemoryInfo": {"SizeInMiB": mib},
            }
        ]
    }


def price_row(zone: dict[str, Any], name: str, price: str, at: datetime, product: str = LINUX) -> dict[str, Any]:
    return {
        "AvailabilityZone": zone["ZoneName"],
        "AvailabilityZoneId": zone["ZoneId"],
        "InstanceType": name,
        "ProductDescription": product,
        "SpotPrice": price,
        "Timestamp": at,
    }


def on_demand_usd_h(region: str, row: dict[str, Any]) -> float:
    vcpus, gpu = row["VCpuInfo"]["DefaultVCpus"], len((row.get("GpuInfo") or {}).get("Gpus", []))
    return round((0.0425 * vcpus + 0.6 * gpu) * (1 + 0.3 * dice(region)), 4)


def spot_price(region: str, zone: str, row: dict[str, Any]) -> str:
    """Return 20 to 60 % of the on-demand price, with six decimals as in the API."""
    return f"{on_demand_usd_h(region, row) * (0.2 + 0.4 * dice(zone, row['InstanceType'])):.6f}"


def product_row(region: str, name: str, usd_h: float, terms: int = 2, **attributes: str) -> dict[str, Any]:
    """Return a product of the price list, with `terms` reservations besides its on-demand price."""
    sku = f"{crc32(f'{region} {name} {attributes}'.encode()):016X}"

    def term(kind: str, unit: str, usd: float, **more: Any) -> dict[str, Any]:
        rate = f"{sku}.{kind}.6YS6EN2CT7"
        dimension = {
            "unit": unit,
            "endRange": "Inf",
            "description": f"${usd:.10f} per Linux {name} Instance Hour",
            "appliesTo": [],
            "rateCode": rate,
            "beginRange": "0",
            "pricePerUnit": {"USD": f"{usd:.10f}"},
        }
        return {
            "priceDimensions": {rate: dimension},
            "sku": sku,
            "effectiveDate": "2026-01-01T00:00:00Z",
            "offerTermCode": kind,
            "termAttributes": more,
        }

    reserved = {
        f"{sku}.R{number}": term(
            f"R{number}", "Hrs", 0.6 * usd_h, LeaseContractLength="1yr", OfferingClass="standard", PurchaseOption="x"
        )
        for number in range(terms)
    }
    return {
        "product": {
            "productFamily": "Compute Instance",
            "attributes": {
                "instanceType": name,
                "regionCode": region,
                "locationType": "AWS Region",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "marketoption": "OnDemand",
                "licenseModel": "No License required",
                "operation": "RunInstances",
                "servicecode": "AmazonEC2",
                "servicename": "Amazon Elastic Compute Cloud",
                "usagetype": f"BoxUsage:{name}",
                **attributes,
            },
            "sku": sku,
        },
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term("JRTCKXETXF", "Hrs", usd_h)}, "Reserved": reserved},
        "version": "20260101000000",
        "publicationDate": "2026-01-01T00:00:00Z",
    }
