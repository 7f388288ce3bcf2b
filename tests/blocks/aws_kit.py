"""What the tests of AWS's machines share: offers, briefs, and a bootstrap that does next to nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from spotwave.blocks.aws.machines import Machines
from spotwave.blocks.models import LaunchBrief, Offer
from spotwave.node.contract import Brief
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at

KEY = "sw-0123456789ab"
PLANTED = "planted-9f1c"  # in the job's secret, and nowhere else

TEMPLATE = """#!/usr/bin/env bash
set -eu
@SETTINGS@
mkdir -p "$SPOTWAVE_WORK"
cat >"$SPOTWAVE_WORK/brief.json" <<'BRIEF'
@BRIEF@
BRIEF
"""


def offer(instance_type: str = "c7i.large", zone: str = "us-east-1a", **changes: Any) -> Offer:
    arm = instance_type.startswith(("m6g", "r8g"))
    fields: dict[str, Any] = {
        "cloud": "aws",
        "instance_type": instance_type,
        "region": zone[:-1],
        "zone": zone,
        "family": instance_type.partition(".")[0],
        "vcpus": 2,
        "cores": 1,
        "memory_gib": 4,
        "architecture": "arm64" if arm else "x86_64",
        "spot_usd_h": 0.02,
        "notice_s": 120,
        "disk_usd_gib_month": 0.08,
        "ip_usd_h": 0.005,
        "seen_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Offer(**{**fields, **changes})


def brief(job_key: str = KEY, attempt: int = 1, deadline_s: float = 600, **changes: Any) -> LaunchBrief:
    public = Brief(
        job_key=job_key,
        attempt=attempt,
        remote=f"drive:spotwave/{job_key}",
        lease_id="00000000-0000-0000-0000-000000000000",
        vcpus=2,
        memory_gib=4,
        deadline=time.time() + deadline_s,
    )
    secrets = {"rclone.conf": SecretStr(f"[drive]\npass = {PLANTED}\n"), "api.json": SecretStr("{}")}
    return LaunchBrief(public, **{"secrets": secrets, "disk_gib": 30.0, **changes})


def machines(emulator: AwsEmulator, template: str | None = TEMPLATE, **fields: Any) -> Machines:
    return cloud_at(emulator, attempts=2, **fields).machines(template)


def times(emulator: AwsEmulator, action: str) -> int:
    """How often it was called, in any region."""
    return sum(call.startswith(f"{action} ") for call in emulator.calls)


def kinds(emulator: AwsEmulator) -> list[str]:
    """What bills, or must not be left behind."""
    return sorted(item.kind for item in emulator.ledger.left())
