"""Offers for tests that launch machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from spotwave.blocks.models import Offer


def made_offer(cloud: str, instance_type: str, region: str, zone: str | None, **fields: Any) -> Offer:
    size = {"vcpus": 2, "cores": 1, "memory_gib": 4.0, "architecture": "x86_64"}
    seen_at = datetime(2026, 1, 1, tzinfo=UTC)
    place = {"cloud": cloud, "instance_type": instance_type, "region": region, "zone": zone, "seen_at": seen_at}
    return Offer.model_validate({**size, **place, **fields})
