"""What a spot instance was billed at: EC2's price history of its pool, and who ended it.

Sources: EC2 API, DescribeSpotPriceHistory and DescribeInstances; EC2 User Guide, "Billing for interrupted Spot
Instances": by the second, the price of the pool as it moves; nothing where EC2 itself interrupts it in the first hour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from blocks.aws.clients import Clients
from blocks.aws.spot_prices import LINUX
from blocks.cloud import Machine

FREE = timedelta(hours=1)
_EARLIER = timedelta(hours=1)
_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


def prices_held(
    clients: Clients, machine: Machine, row: Mapping[str, Any] | None, until: datetime
) -> list[tuple[datetime, float]]:
    """row: of DescribeInstances, None where it is not told of any more. Raises a LaunchRefused."""
    code = ((row or {}).get("StateReason") or {}).get("Code", "")
    if code.startswith("Server.Spot") and until - machine.launched_at < FREE:
        return [(machine.launched_at, 0.0)]
    rows = clients.listed(
        "ec2",
        machine.region,
        "describe_spot_price_history",
        "SpotPriceHistory",
        InstanceTypes=[machine.offer.instance_type],
        AvailabilityZone=machine.zone,
        ProductDescriptions=[LINUX[0]],
        StartTime=machine.launched_at - _EARLIER,
        EndTime=until,
    )
    told: list[tuple[datetime, float]] = []
    for one in rows:
        try:
            price = float(one["SpotPrice"])
        except ValueError:  # "n/a" is among them
            continue
        if price > 0 and one["AvailabilityZone"] == machine.zone and one["Timestamp"] <= until:
            told.append((one["Timestamp"], price))
    told.sort()
    before = [price for at, price in told if at <= machine.launched_at]
    first = (machine.launched_at, before[-1] if before else machine.offer.spot_usd_h)
    return [first, *((at, price) for at, price in told if at > machine.launched_at)]


def billed_until(row: Mapping[str, Any] | None) -> datetime | None:
    """When it was shut down, where that was our doing or its own; EC2 bills from "running" to "shutting-down"."""
    found = _AT.search((row or {}).get("StateTransitionReason") or "")
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if found else None
