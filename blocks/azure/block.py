"""Microsoft's cloud: spot prices of every region, with or without an account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

# The form needs the credentials' block, which imports no SDK. What asks and reads is imported when it is used: the
# SDKs take a second, and knowing the block must stay cheap.
from blocks.azure.credentials import AzureCredentials
from blocks.cloud import Catalogue, Tell, untold
from blocks.endpoints import Endpoint
from blocks.market import Market
from blocks.prices_only import PricesOnly

if TYPE_CHECKING:
    from blocks.azure.market import Sources

_REGION = re.compile(r"[a-z][a-z0-9]*")


class AzureCloud(PricesOnly):
    """
    Azure spot VMs: the current Linux price of every size in every region.

    Without credentials it reads the public price list, and the sizes' shapes from their names. With credentials (the
    Reader role on a subscription) it also knows restrictions, zones, exact shapes and eviction rates. All of these
    calls are free.

    Example:
        The cheapest machines with an A100, by the public price list:
        ```python
        from blocks.azure.block import AzureCloud

        cloud = AzureCloud()
        cloud.save("azure")

        frame = cloud.market().frame
        print(frame.filter(gpu="A100 80GB").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "Azure Cloud"
    _block_type_slug = "azure-cloud"

    kind: ClassVar[str] = "azure"

    credentials: AzureCredentials | None = Field(
        None, title="Credentials", description="Empty: the public price list alone."
    )
    regions: list[str] = Field(
        default_factory=list,
        title="Regions",
        description="Only these, e.g. ['eastus']. Empty: every region that sells spot VMs.",
    )
    management_endpoint: Endpoint = Field(
        "https://management.azure.com", title="Management endpoint", description="Azure Resource Manager."
    )
    prices_endpoint: Endpoint = Field(
        "https://prices.azure.com", title="Prices endpoint", description="The Azure Retail Prices API; it needs no key."
    )

    @field_validator("regions")
    @classmethod
    def _short_names(cls, regions: list[str]) -> list[str]:
        """Filters tell them apart letter by letter."""
        for region in regions:
            if not _REGION.fullmatch(region):
                raise ValueError(f"regions: '{region}' is no region; write its short name, e.g. 'eastus'")
        return regions

    @property
    def has_account(self) -> bool:
        return self.credentials is not None

    def catalogue(self, tell: Tell = untold) -> Catalogue:
        """Regions and on-demand prices; with credentials also sizes, zones, restrictions and eviction rates.

        Raises `MarketUnavailable` if the price list does not answer, or the credentials are not accepted.
        """
        from blocks.azure.market import read_catalogue

        return read_catalogue(self._sources(), tell)

    def market(self, catalogue: Catalogue | None = None, tell: Tell = untold) -> Market:
        """An offer for every usable size and zone (by region without credentials), at the price in force.

        Without a catalogue it is read at the same time. Raises `MarketUnavailable` as `catalogue` does.
        """
        from blocks.azure.market import read_market

        return read_market(self._sources(with_arm=catalogue is None), catalogue, tell)

    def _sources(self, with_arm: bool = True) -> Sources:
        from blocks.azure.market import AT_MOST, Sources
        from blocks.azure.prices import RetailPrices
        from blocks.http import session

        arm = None
        if self.credentials is not None and with_arm:
            from blocks.azure.arm import Arm

            arm = Arm(self.credentials, self.management_endpoint)
        return Sources(RetailPrices(session(AT_MOST), self.prices_endpoint), arm, self.regions)
