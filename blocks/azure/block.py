"""Block of Microsoft Azure: spot prices of every region, with or without an account, and machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

# The block's form only needs the credentials' block, which imports no SDK. SDKs are imported on use: they take a
# second, and importing the block must stay fast.
from spotwave.blocks.azure.credentials import AzureCredentials
from spotwave.blocks.azure.images import checked, images_of
from spotwave.blocks.azure.quotas import quotas_of
from spotwave.blocks.cloud import Catalogue, Cloud
from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.endpoints import Endpoint, is_loopback
from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.market import Market
from spotwave.blocks.models import (
    Finding,
    InterruptionMethod,
    LaunchBrief,
    Leftover,
    Machine,
    MachineState,
    Offer,
)
from spotwave.blocks.quota_room import QuotaRoom
from spotwave.blocks.recent_answers import Recent

if TYPE_CHECKING:
    from spotwave.blocks.azure.account import Account
    from spotwave.blocks.azure.clients import Clients
    from spotwave.blocks.azure.machines import Machines
    from spotwave.blocks.azure.market import Sources

_REGION = re.compile(r"[a-z][a-z0-9]*")
_GROUP = re.compile(r"[\w.()-]{1,89}[\w()-]|\w")
_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+", re.I
)
_IDENTITY = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+", re.I
)
_NO_ACCOUNT = (
    "credentials: this Azure Cloud block has no credentials, so there is no subscription for machines; add an Azure"
    " Compute Credentials block, see docs/accounts/azure.md"
)


class AzureCloud(Cloud):
    """
    Azure spot VMs: the current Linux price of every size in every region, and machines.

    Without credentials it reads the public price list, and derives the sizes' shapes from their names. With credentials
    (the Reader role on a subscription) it also has restrictions, zones, exact shapes and eviction rates. All of these
    calls are free. To rent machines it needs a resource group, an identity for them and a Key Vault:
    docs/accounts/azure.md sets them up in ten minutes, with the names that are the defaults of the settings below.

    Example:
        The cheapest machines with an A100, from the public price list:
        ```python
        from spotwave.blocks.azure.block import AzureCloud

        cloud = AzureCloud()
        cloud.save("azure")

        frame = cloud.market().frame
        print(frame.filter(gpu="A100 80GB").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "Azure Cloud"
    _block_type_slug = "azure-cloud"

    kind: ClassVar[str] = "azure"
    tells_end_late: ClassVar[bool] = True

    credentials: AzureCredentials | None = Field(
        None, title="Credentials", description="Empty: only the public price list."
    )
    regions: list[str] = Field(
        default_factory=list,
        title="Regions",
        description="Only these regions, e.g. ['eastus']. Empty: every region that sells spot VMs.",
    )
    resource_group: str = Field(
        "spotwave", title="Resource group", description="Resource group of machines and their resources."
    )
    identity: str = Field(
        "",
        title="Identity of the machines",
        description="Resource ID of the user-assigned identity with which a machine reads its secret and deletes "
        "itself. Empty: spotwave-machine in the resource group.",
    )
    vault_url: Endpoint | None = Field(
        None,
        title="Key Vault",
        description="Address of the vault that passes secrets to machines, e.g. https://mine.vault.azure.net. Empty: "
        "spotwave- and the first 8 digits of the subscription ID.",
    )
    network: str = Field(
        "",
        title="Subnet",
        description="Resource ID of a subnet; {region} in it is replaced by the region's name. Empty: a network "
        "spotwave-<region> in the resource group, created by the first launch in a region; it costs nothing.",
    )
    image: str = Field(
        "",
        title="Image",
        description="For x86-64: publisher:offer:sku:version, or the resource ID of your own image. Empty: "
        "Ubuntu 24.04.",
    )
    image_arm64: str = Field(
        "",
        title="Image (arm64)",
        description="The same for arm64. If only one of the two is set, the other architecture is not used.",
    )
    management_endpoint: Endpoint = Field(
        "https://management.azure.com", title="Management endpoint", description="Azure Resource Manager."
    )
    prices_endpoint: Endpoint = Field(
        "https://prices.azure.com", title="Prices endpoint", description="The Azure Retail Prices API; it needs no key."
    )

    _recent: Recent = PrivateAttr(default_factory=Recent)

    @field_validator("regions")
    @classmethod
    def _validate_regions(cls, regions: list[str]) -> list[str]:
        """Validate the names, since filters compare them exactly."""
        for region in regions:
            if not _REGION.fullmatch(region):
                raise ValueError(f"regions: '{region}' is not a region; use its short name, e.g. 'eastus'")
        return regions

    @field_validator("resource_group")
    @classmethod
    def _validate_group(cls, name: str) -> str:
        """Validate the name, since it becomes part of addresses."""
        if not _GROUP.fullmatch(name):
            raise ValueError(f"resource_group: '{name}' is not a valid name of a resource group; use e.g. 'spotwave'")
        return name

    @field_validator("network", "identity")
    @classmethod
    def _validate_id(cls, id_: str, info: ValidationInfo) -> str:
        pattern = _SUBNET if info.field_name == "network" else _IDENTITY
        if id_ and not pattern.fullmatch(id_):
            raise ValueError(f"{info.field_name}: '{id_}' is not a resource ID; az ... show --query id prints it")
        return id_

    @field_validator("image", "image_arm64")
    @classmethod
    def _validate_image(cls, image: str, info: ValidationInfo) -> str:
        try:
            return checked(image)
        except ValueError as error:
            raise ValueError(f"{info.field_name}: {error}") from error

    @property
    def has_account(self) -> bool:
        return self.credentials is not None

    @property
    def is_local(self) -> bool:
        return is_loopback(self.management_endpoint)

    def catalogue(self, tell: OnProgress = no_progress) -> Catalogue:
        """Return regions and on-demand prices; with credentials also sizes, zones, restrictions and eviction rates.

        Raises `MarketUnavailable` if the price list does not answer, or the credentials are rejected.
        """
        from spotwave.blocks.azure.market import read_catalogue

        return read_catalogue(self._sources(), tell)

    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Return an offer for every usable size and zone (by region without credentials), at the current price.

        A missing catalogue is read at the same time. Raises `MarketUnavailable` like `catalogue`.
        """
        from spotwave.blocks.azure.market import read_market

        return read_market(self._sources(with_arm=catalogue is None), catalogue, tell)

    def machines(self, template: str | None = None) -> Machines:
        """Return the subscription's machines; `template` replaces node/boot/bootstrap.sh. Raises Misconfigured if there
        are no credentials."""
        from spotwave.blocks.azure.machines import Machines

        return Machines(*self._access(), template, self._recent)

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        return self.machines().launch(offer, brief, count)

    @classmethod
    def quotas_of(cls, offer: Offer) -> Mapping[str, float]:
        return quotas_of(offer)

    def quota_room(self, offers: Sequence[Offer]) -> list[QuotaRoom]:
        if not self.has_account:
            return []
        from spotwave.blocks.azure.quota_room import quota_room

        return quota_room(self._access()[0], offers)

    def find(self, job_key: str | None = None) -> list[Machine]:
        return self.machines().find(job_key) if self.has_account else []

    def state(self, machine: Machine) -> MachineState:
        return self.machines().state(machine)

    def terminate(self, machine: Machine) -> None:
        self.machines().terminate(machine)

    def billed_until(self, machine: Machine) -> datetime | None:
        return self.machines().billed_until(machine)

    @property
    def interruption_method(self) -> InterruptionMethod:
        from spotwave.blocks.azure.interrupt import REHEARSAL

        return REHEARSAL

    def force_interruption(self, machine: Machine) -> None:
        from spotwave.blocks.azure.interrupt import evict

        evict(self._access()[0], machine)

    def leftovers(self, job_key: str | None = None) -> list[Leftover]:
        if not self.has_account:
            return []
        from spotwave.blocks.azure.leftovers import Parts
        from spotwave.blocks.azure.secrets import Vault

        clients, account = self._access()
        return [*Parts(clients, account.resource_group).leftovers(job_key), *Vault(clients).ours(job_key)]

    def remove(self, leftover: Leftover) -> None:
        from spotwave.blocks.azure.leftovers import Parts
        from spotwave.blocks.azure.secrets import Vault

        clients, account = self._access()
        self._recent.clear()
        match leftover.kind:
            case "secret":
                Vault(clients).delete(leftover.id)
            case "nic" | "ip" | "disk":
                Parts(clients, account.resource_group).remove(leftover.kind, leftover.id)
            case "spot request":
                raise ValueError("Azure has no spot requests")

    def check(self) -> Iterator[Finding]:
        if not self.has_account:
            yield Finding("credentials", False, _NO_ACCOUNT)
            return
        from spotwave.blocks.azure.check import Checks

        yield from Checks(*self._access(), self.regions).findings()

    def _access(self) -> tuple[Clients, Account]:
        """Return clients and account. Raises Misconfigured if there are no credentials."""
        if self.credentials is None:
            raise Misconfigured(_NO_ACCOUNT)
        from spotwave.blocks.azure.account import Account
        from spotwave.blocks.azure.clients import clients_of

        subscription = self.credentials.subscription_id
        vault_url = self.vault_url or f"https://spotwave-{subscription[:8]}.vault.azure.net"
        account = Account(
            resource_group=self.resource_group,
            network=self.network,
            identity=self.identity
            or f"/subscriptions/{subscription}/resourceGroups/{self.resource_group}/providers"
            "/Microsoft.ManagedIdentity/userAssignedIdentities/spotwave-machine",
            images=images_of(self.image, self.image_arm64),
            endpoint=self.management_endpoint,
            vault_url=vault_url,
        )
        return clients_of(self.credentials, self.management_endpoint, vault_url), account

    def _sources(self, with_arm: bool = True) -> Sources:
        from spotwave.blocks.azure.market import AT_MOST, Sources
        from spotwave.blocks.azure.prices import RetailPrices
        from spotwave.blocks.http import session

        arm = None
        if self.credentials is not None and with_arm:
            from spotwave.blocks.azure.arm import Arm

            arm = Arm(self.credentials, self.management_endpoint)
        return Sources(RetailPrices(session(AT_MOST), self.prices_endpoint), arm, self.regions)
