"""Google's cloud: spot prices of every region of a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

# The one module of an SDK that the form needs; what asks and reads is imported when it is used, so that knowing the
# block stays cheap: google.cloud.compute_v1 alone takes seconds.
from google.auth.exceptions import DefaultCredentialsError
from prefect_gcp import GcpCredentials
from pydantic import Field, ValidatorFunctionWrapHandler, field_validator

from blocks.cloud import Catalogue, Interruption, MarketUnavailable, Offer, Tell, untold
from blocks.endpoints import Endpoint
from blocks.market import Market
from blocks.prices_only import PricesOnly

if TYPE_CHECKING:
    from blocks.gcp.clients import Clients


class GcpCloud(PricesOnly):
    """
    Google Compute Engine spot VMs: every machine type in every zone, priced from the public price list.

    It needs credentials that may compute.machineTypes.list in the project (roles/compute.viewer), and the Cloud
    Billing API enabled there, for the price list. All of these calls are free.

    Example:
        The cheapest spot VMs with an L4 in two regions:
        ```python
        from prefect_gcp import GcpCredentials

        from blocks.gcp.block import GcpCloud

        cloud = GcpCloud(credentials=GcpCredentials.load("mine"), regions=["us-central1", "europe-west4"])
        cloud.save("gcp")

        frame = cloud.market().frame
        print(frame.filter(gpu="L4").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "GCP Cloud"
    _block_type_slug = "gcp-cloud"

    kind: ClassVar[str] = "gcp"

    credentials: GcpCredentials = Field(title="Credentials", description="A GCP Credentials block.")
    project: str | None = Field(
        None, title="Project", description="The project that is asked, by its id. Empty: the credentials' own."
    )
    compute_endpoint: Endpoint = Field(
        "https://compute.googleapis.com", title="Compute endpoint", description="Where the Compute Engine API is."
    )
    billing_endpoint: Endpoint = Field(
        "https://cloudbilling.googleapis.com",
        title="Billing endpoint",
        description="Where the Cloud Billing API is, which has the price list.",
    )
    regions: list[str] = Field(
        default_factory=list, title="Regions", description="Only these, e.g. ['us-central1']. Empty: every region."
    )

    @field_validator("credentials", mode="wrap")
    @classmethod
    def _found_here(cls, given: Any, build: ValidatorFunctionWrapHandler) -> GcpCredentials:
        """A GCP Credentials block without a key looks for this computer's own login as soon as it is built; where there
        is none it raises an error of its own kind, which would hide every other cloud from whoever lists them."""
        try:
            found = build(given)
        except DefaultCredentialsError as error:
            raise ValueError(
                "the GCP Credentials block has no key, and this computer no login: paste a service account's key"
            ) from error
        assert isinstance(found, GcpCredentials)
        return found

    def catalogue(self, tell: Tell = untold) -> Catalogue:
        """The machine types of every zone.

        Raises `MarketUnavailable` without credentials, or where none are listed.
        """
        from blocks.gcp.machine_types import read_catalogue

        return read_catalogue(self._clients(), self.regions, tell)

    def market(self, catalogue: Catalogue | None = None, tell: Tell = untold) -> Market:
        """An offer for every type and zone with a spot SKU for each of its parts, at the list price.

        Without a catalogue it is read at the same time. Raises `MarketUnavailable` as `catalogue` does, and without
        the price list.
        """
        from blocks.gcp.market import read_market

        return read_market(self._clients(), self.regions, catalogue, tell)

    def interruptions(self, offers: Sequence[Offer]) -> dict[tuple[str, str, str], Interruption]:
        """By the preemption rates of the last seven days, for ten pools at most, a call each; all at once."""
        from blocks.gcp.advice import read_interruptions

        try:
            return read_interruptions(self._clients(), offers)
        except MarketUnavailable:
            return {}

    def _clients(self) -> Clients:
        from blocks.gcp.clients import Clients

        return Clients(self.credentials, self.project, self.compute_endpoint, self.billing_endpoint)
