"""What a spot instance was billed at: EC2's price history of its pool, and who ended it.

Sources: EC2 API, DescribeSpotPriceHistory, DescribeInstances and DescribeSpotInstanceRequests; EC2 User Guide,
"Billing for interrupted Spot Instances": by the second, the price of the pool as it moves; nothing where EC2 itself
interrupts it in the first hour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.spot_prices import LINUX
from spotwave.blocks.models import Machine

FREE = timedelta(hours=1)
_EARLIER = timedelta(hours=1)
_TERMINATED = "instance-terminated-"
_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


def prices_held(
    clients: Clients, machine: Machine, row: Mapping[str, Any] | None, until: datetime
) -> list[tuple[datetime, float]]:
    """row: of DescribeInstances, None where it is not told of any more. Raises a LaunchRefused."""
    if _taken_back(row) and until - machine.launched_at < FREE:
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


def billed_until(clients: Clients, machine: Machine, row: Mapping[str, Any] | None) -> datetime | None:
    """When it was shut down; EC2 bills from "running" to "shutting-down". row: as in `prices_held`.

    The row tells the time where that was our doing or its own. Where EC2 took it back, its spot request does, for some
    two days (EC2 API, SpotInstanceStatus; EC2 User Guide, "Spot request status": instance-terminated-no-capacity and
    its like). Raises a LaunchRefused.
    """
    found = _AT.search((row or {}).get("StateTransitionReason") or "")
    if found:
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    request = (row or {}).get("SpotInstanceRequestId")
    if request is None or not _taken_back(row):
        return None
    asked = [{"Name": "spot-instance-request-id", "Values": [request]}]
    rows = clients.listed(
        "ec2", machine.region, "describe_spot_instance_requests", "SpotInstanceRequests", Filters=asked
    )
    told: list[Mapping[str, Any]] = [one.get("Status") or {} for one in rows]
    ends: list[datetime] = [one["UpdateTime"] for one in told if str(one.get("Code")).startswith(_TERMINATED)]
    return min(ends, default=None)


def _taken_back(row: Mapping[str, Any] | None) -> bool:
    """Whether EC2 itself has ended it."""
    return bool(((row or {}).get("StateReason") or {}).get("Code", "").startswith("Server.Spot"))
