"""The block, pointed at the emulator."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prefect_gcp import GcpCredentials

from blocks.gcp.block import GcpCloud


@cache
def credentials() -> GcpCredentials:
    """A service account's key, made here: tokens are signed with it, and nobody else knows it."""
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
    return GcpCloud(credentials=credentials(), compute_endpoint=url, billing_endpoint=url, **fields)
