"""Billed price and billed time of a spot instance: from EC2's price history of its pool, and its termination reason.

Sources: EC2 API, DescribeSpotPriceHistory, DescribeInstances and DescribeSpotInstanceRequests; EC2 User Guide,
"Billing for interrupted Spot Instances": by the second, at the changing price of the pool; free if EC2 itself
interrupts the instance in its first hour.
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
    """Return the billed prices. row: of DescribeInstances, None if no longer listed. Raises a LaunchRefused."""
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
    prices: list[tuple[datetime, float]] = []
    for one in rows:
        try:
            price = float(one["SpotPrice"])
        except ValueError:  # some rows have the price "n/a"
            continue
        if price > 0 and one["AvailabilityZone"] == machine.zone and one["Timestamp"] <= until:
            prices.append((one["Timestamp"], price))
    prices.sort()
    before = [price for at, price in prices if at <= machine.launched_at]
    first = (machine.launched_at, before[-1] if before else machine.offer.spot_usd_h)
    return [first, *((at, price) for at, price in prices if at > machine.launched_at)]


def billed_until(clients: Clients, machine: Machine, row: Mapping[str, Any] | None) -> datetime | None:
    """Return when it was shut down; EC2 bills from "running" to "shutting-down". row: as in `prices_held`.

    The row has the time if Spotwave or the machine itself ended it. If EC2 interrupted it, its spot request has the
    time, for about two days (EC2 API, SpotInstanceStatus; EC2 User Guide, "Spot request status":
    instance-terminated-no-capacity and similar). Raises a LaunchRefused.
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
    statuses: list[Mapping[str, Any]] = [one.get("Status") or {} for one in rows]
    ends: list[datetime] = [one["UpdateTime"] for one in statuses if str(one.get("Code")).startswith(_TERMINATED)]
    return min(ends, default=None)


def _taken_back(row: Mapping[str, Any] | None) -> bool:
    """Whether EC2 itself ended the instance."""
    return bool(((row or {}).get("StateReason") or {}).get("Code", "").startswith("Server.Spot"))
