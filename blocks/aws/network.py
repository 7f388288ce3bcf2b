"""The subnet of a machine, which fixes its zone: the default VPC's, or one of the user's own."""

from __future__ import annotations

from typing import Any

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.errors import Quota


def subnets_of(clients: Clients, region: str, own: list[str]) -> list[dict[str, Any]]:
    """The region's subnets that machines may stand in, as DescribeSubnets has them. Raises a LaunchRefused.

    By filter: an id of another region would fail the call for all.
    """
    wanted = {"Name": "subnet-id", "Values": own} if own else {"Name": "default-for-az", "Values": ["true"]}
    return clients.listed("ec2", region, "describe_subnets", "Subnets", Filters=[wanted])


def subnet_for(listed: list[dict[str, Any]], region: str, zone: str, own: list[str]) -> str:
    """The id of the zone's subnet, always the same: it is among what the launch's token stands for.

    listed: what `subnets_of` has of the region. Raises a LaunchRefused.
    """
    if not listed:
        raise Quota(f"aws {region}: {no_subnet(own)}", "region", lasting=True)
    here = [str(row["SubnetId"]) for row in listed if row["AvailabilityZone"] == zone]
    if not here:
        remedy = "name one there" if own else f"run `aws ec2 create-default-subnet --availability-zone {zone}`"
        raise Quota(f"aws {zone}: subnets: none in this zone; {remedy}", "zone", lasting=True)
    return next((id_ for id_ in own if id_ in here), min(here))


def no_subnet(own: list[str]) -> str:
    """Why a region is of no use."""
    if own:
        return "subnets: none of the block's is in this region; name one there, or leave the region out"
    return "subnets: there is no default VPC; run `aws ec2 create-default-vpc`, or name subnets in the block"
