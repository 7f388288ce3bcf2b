"""Shared by the tests of Azure: the emulator as this computer's Azure, and blocks that use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.credentials import AzureCredentials
from spotwave.blocks.market import Market
from spotwave.blocks.models import Architecture, Offer
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_world import SUBSCRIPTION
from tests.emulators.offers import made_offer

BY_NAME = "derived from their names; add credentials to the block for restrictions, zones and eviction rates"


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, emulator: AzureEmulator | None = None) -> Iterator[AzureEmulator]:
    """Run an emulated Azure whose managed identity is this computer's."""
    with emulator or AzureEmulator() as azure:
        for name in os.environ:
            if name.startswith(("AZURE_", "IDENTITY_", "MSI_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.url)
        yield azure


def block(azure: AzureEmulator, *regions: str) -> AzureCloud:
    credentials = AzureCredentials(subscription_id=SUBSCRIPTION)
    return AzureCloud(
        credentials=credentials,
        regions=list(regions),
        management_endpoint=azure.url,
        prices_endpoint=azure.url,
        vault_url=azure.url,
    )


def public(azure: AzureEmulator, *regions: str) -> AzureCloud:
    return AzureCloud(regions=list(regions), prices_endpoint=azure.url)


def offer(
    size: str = "Standard_D2s_v5",
    zone: str | None = "eastus-1",
    *,
    region: str = "eastus",
    architecture: Architecture = "x86_64",
) -> Offer:
    """Return an offer as in the market of the small world."""
    prices = {"spot_usd_h": 0.0192, "disk_usd_gib_month": 0.075, "ip_usd_h": 0.005}
    of = {"family": size, "memory_gib": 8.0, "architecture": architecture, "notice_s": 30.0}
    return made_offer("azure", size, region, zone, **prices, **of)


def rows(market: Market, size: str, region: str = "eastus") -> pl.DataFrame:
    return market.frame.filter(instance_type=size, region=region).sort("zone")
