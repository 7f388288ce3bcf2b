"""What the tests of AWS's machines share: offers, briefs, and a bootstrap that does next to nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from spotwave.blocks.aws.machines import Machines
from spotwave.blocks.models import LaunchBrief, Offer
from tests.blocks import machine_kit
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at

KEY = machine_kit.JOB_KEY
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


def brief(job_key: str = KEY, attempt: int = 1, deadline_s: float = 600) -> LaunchBrief:
    secrets = {"rclone.conf": f"[drive]\npass = {PLANTED}\n", "api.json": "{}"}
    deadline = time.time() + deadline_s
    return machine_kit.brief(
        job_key, attempt, secrets, disk_gib=30.0, remote=f"drive:spotwave/{job_key}", deadline=deadline
    )


def machines(emulator: AwsEmulator, template: str | None = TEMPLATE, **fields: Any) -> Machines:
    return cloud_at(emulator, attempts=2, **fields).machines(template)


def times(emulator: AwsEmulator, action: str) -> int:
    """How often it was called, in any region."""
    return sum(call.startswith(f"{action} ") for call in emulator.calls)


def kinds(emulator: AwsEmulator) -> list[str]:
    """What bills, or must not be left behind."""
    return sorted(item.kind for item in emulator.ledger.left())
