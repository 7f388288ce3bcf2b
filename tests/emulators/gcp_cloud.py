"""Google Cloud blocks that use the emulator."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prefect_gcp import GcpCredentials

from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import Offer
from tests.emulators.offers import made_offer


@cache
def credentials() -> GcpCredentials:
    """Return a new service account's key, with which tokens are signed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return GcpCredentials(
        service_account_info={  # type: ignore[arg-type]
            "type": "service_account",
            "project_id": "spotwave-test",
            "private_key_id": "1",
            "private_key": text,
            "client_email": "reader@spotwave-test.iam.gserviceaccount.com",
            "token_uri": "http://127.0.0.1:9/token",
        }
    )


def cloud_at(url: str, **fields: Any) -> GcpCloud:
    """Return a block with all Google services at one address."""
    services = ("compute", "billing", "secret", "iam", "projects")
    return GcpCloud(credentials=credentials(), **{f"{service}_endpoint": url for service in services}, **fields)


def offer(instance_type: str = "n2-standard-4", zone: str = "us-central1-a", architecture: str = "x86_64") -> Offer:
    """Return an offer of the small world."""
    family, size = instance_type.partition("-")[0], {"vcpus": 4, "cores": 2, "memory_gib": 16.0}
    prices = {"spot_usd_h": 0.072, "ip_usd_h": 0.0025, "disk_usd_gib_month": 0.1}
    of = {"family": family, "architecture": architecture, "notice_s": 30.0}
    return made_offer("gcp", instance_type, zone.rpartition("-")[0], zone, **size, **prices, **of)
