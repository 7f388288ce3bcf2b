"""Shared by the tests of AWS machines: offers, briefs, and a minimal bootstrap script."""

from __future__ import annotations

import time
from typing import Any

from spotwave.blocks.aws.machines import Machines
from spotwave.blocks.models import LaunchBrief, Offer
from tests.blocks import machine_kit
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.offers import made_offer

KEY = machine_kit.JOB_KEY
PLANTED = "planted-9f1c"  # occurs only in the job's secret

TEMPLATE = machine_kit.CLOUD_HEAD


def offer(instance_type: str = "c7i.large", zone: str = "us-east-1a", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "family": instance_type.partition(".")[0],
        "architecture": "arm64" if instance_type.startswith(("m6g", "r8g")) else "x86_64",
        "spot_usd_h": 0.02,
        "notice_s": 120,
        "disk_usd_gib_month": 0.08,
        "ip_usd_h": 0.005,
    }
    return made_offer("aws", instance_type, zone[:-1], zone, **{**fields, **changes})


def brief(job_key: str = KEY, attempt: int = 1, deadline_s: float = 600) -> LaunchBrief:
    secrets = {"rclone.conf": f"[drive]\npass = {PLANTED}\n", "api.json": "{}"}
    deadline = time.time() + deadline_s
    return machine_kit.brief(
        job_key, attempt, secrets, disk_gib=30.0, remote=f"drive:spotwave/{job_key}", deadline=deadline
    )


def machines(emulator: AwsEmulator, template: str | None = TEMPLATE, **fields: Any) -> Machines:
    return cloud_at(emulator, attempts=2, **fields).machines(template)
