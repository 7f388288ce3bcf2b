"""Subnet of a machine, which determines its zone: one of the default VPC, or one of the user's own."""

from __future__ import annotations

from typing import Any

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.errors import Quota


def subnets_of(clients: Clients, region: str, own: list[str]) -> list[dict[str, Any]]:
    """Return the region's subnets for machines, as rows of DescribeSubnets. Raises a LaunchRefused.

    Uses a filter, since an id of another region in SubnetIds would fail the whole call.
    """
    wanted = {"Name": "subnet-id", "Values": own} if own else {"Name": "default-for-az", "Values": ["true"]}
    return clients.listed("ec2", region, "describe_subnets", "Subnets", Filters=[wanted])


def subnet_for(listed: list[dict[str, Any]], region: str, zone: str, own: list[str]) -> str:
    """Return the id of the zone's subnet. Always the same one, since the launch token depends on it.

    listed: the region's subnets from `subnets_of`. Raises a LaunchRefused.
    """
    if not listed:
        raise Quota(f"aws {region}: {no_subnet(own)}", "region", lasting=True)
    here = [str(row["SubnetId"]) for row in listed if row["AvailabilityZone"] == zone]
    if not here:
        remedy = "add one there" if own else f"run `aws ec2 create-default-subnet --availability-zone {zone}`"
        raise Quota(f"aws {zone}: subnets: none in this zone; {remedy}", "zone", lasting=True)
    return next((id_ for id_ in own if id_ in here), min(here))


def no_subnet(own: list[str]) -> str:
    """Return why machines cannot run in a region without a subnet."""
    if own:
        return "subnets: none of the block's is in this region; add one there, or leave the region out"
    return "subnets: there is no default VPC; run `aws ec2 create-default-vpc`, or set subnets in the block"
