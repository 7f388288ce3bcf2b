"""Block of Google Compute Engine: spot prices in every region of a project, and the machines rented there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

# The only SDK module that the block's form needs. Other SDK modules are imported on use, so that importing the block
# stays fast: google.cloud.compute_v1 alone takes seconds.
from google.auth.exceptions import DefaultCredentialsError
from prefect_gcp import GcpCredentials
from pydantic import Field, PrivateAttr, ValidatorFunctionWrapHandler, field_validator

from spotwave.blocks.cloud import Catalogue, Cloud
from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.endpoints import Endpoint, is_loopback
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.gcp.images import checked
from spotwave.blocks.gcp.instance import Setup
from spotwave.blocks.gcp.quotas import quotas_of
from spotwave.blocks.interruption import Rate
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
    from spotwave.blocks.gcp.clients import Clients
    from spotwave.blocks.gcp.machines import Machines

_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_PATIENCE_S = 30.0  # time limit of one call including retries
_QUOTA_PATIENCE_S = 10.0  # shorter, since the choice of an offer does not depend on quotas


class GcpCloud(Cloud):
    """
    Google Compute Engine spot VMs: every machine type in every zone, priced from the public price list.

    For prices it needs credentials with compute.machineTypes.list in the project, and the Cloud Billing API enabled
    there. For machines it needs the role, the service account and the APIs that docs/accounts/gcp.md sets up. The
    defaults below suit a new project as Google creates it. `spotwave check` reports what is missing.

    Example:
        The cheapest spot VMs with an L4 in two regions:
        ```python
        from prefect_gcp import GcpCredentials

        from spotwave.blocks.gcp.block import GcpCloud

        cloud = GcpCloud(credentials=GcpCredentials.load("mine"), regions=["us-central1", "europe-west4"])
        cloud.save("gcp")

        frame = cloud.market().frame
        print(frame.filter(gpu="L4").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "GCP Cloud"
    _block_type_slug = "gcp-cloud"

    kind: ClassVar[str] = "gcp"
    least_billed_s: ClassVar[float] = 60.0  # then by the second (Compute Engine, VM instance pricing)

    credentials: GcpCredentials = Field(title="Credentials", description="A GCP Credentials block.")
    project: str | None = Field(
        None, title="Project", description="ID of the project to use. Empty: the project of the credentials."
    )
    compute_endpoint: Endpoint = Field(
        "https://compute.googleapis.com", title="Compute endpoint", description="Address of the Compute Engine API."
    )
    billing_endpoint: Endpoint = Field(
        "https://cloudbilling.googleapis.com",
        title="Billing endpoint",
        description="Address of the Cloud Billing API, which has the price list.",
    )
    regions: list[str] = Field(
        default_factory=list,
        title="Regions",
        description="Only these regions, e.g. ['us-central1']. Empty: every region.",
    )
    image: str = Field(
        "ubuntu-24.04",
        title="Image",
        description="'ubuntu-24.04', 'debian-12' (both architectures), or your own image for x86_64: "
        "'projects/PROJECT/global/images/NAME', or '.../images/family/FAMILY'.",
    )
    image_arm64: str | None = Field(
        None,
        title="Image for arm64",
        description="The same for arm64. Empty: as 'Image' if that is one of the two names, else arm64 is left out.",
    )
    service_account: str = Field(
        "default",
        title="Service account",
        description="Email address of the machines' service account. 'default': the project's default Compute Engine "
        "service account.",
    )
    network: str = Field("default", title="Network", description="A name, or 'projects/HOST/global/networks/NAME'.")
    subnetwork: str | None = Field(
        None,
        title="Subnetwork",
        description="A name, the same in every region, or 'projects/HOST/regions/{region}/subnetworks/NAME'. Empty: "
        "for a network that creates its subnetworks automatically.",
    )
    public_ip: bool = Field(
        True, title="Public IP", description="Give machines an external address. Without one they need Cloud NAT."
    )
    secret_locations: list[str] = Field(
        default_factory=list,
        title="Secret locations",
        description="Where the secrets of jobs are stored, e.g. ['europe-west3']. Empty: replicated automatically, "
        "or in the region of each machine if a policy of the organization forbids that.",
    )
    secret_endpoint: Endpoint = Field(
        "https://secretmanager.googleapis.com",
        title="Secret endpoint",
        description="Address of Secret Manager, which passes a job's secrets to its machines.",
    )
    iam_endpoint: Endpoint = Field(
        "https://iam.googleapis.com", title="IAM endpoint", description="Address of the IAM API; used only by checks."
    )
    projects_endpoint: Endpoint = Field(
        "https://cloudresourcemanager.googleapis.com",
        title="Projects endpoint",
        description="Address of the Cloud Resource Manager API; used only by checks.",
    )

    _recent: Recent = PrivateAttr(default_factory=Recent)

    @field_validator("secret_locations")
    @classmethod
    def _validate_locations(cls, locations: list[str]) -> list[str]:
        if wrong := next((one for one in locations if not _REGION.fullmatch(one)), None):
            raise ValueError(f"secret_locations: {wrong[:60]!r} is not a region; use e.g. 'europe-west3'")
        return locations

    @field_validator("image", "image_arm64")
    @classmethod
    def _validate_image(cls, image: str | None) -> str | None:
        return checked(image) if image else None

    @field_validator("credentials", mode="wrap")
    @classmethod
    def _validate_credentials(cls, given: Any, build: ValidatorFunctionWrapHandler) -> GcpCredentials:
        """Turn a missing login into a ValueError. A GCP Credentials block without a key looks for this computer's own
        login when it is built, and its own kind of error would prevent a list of all clouds."""
        try:
            found = build(given)
        except DefaultCredentialsError as error:
            raise ValueError(
                "the GCP Credentials block has no key, and this computer has no login: paste a service account's key"
            ) from error
        assert isinstance(found, GcpCredentials)
        return found

    def catalogue(self, tell: OnProgress = no_progress) -> Catalogue:
        """Return the machine types of every zone.

        Raises `MarketUnavailable` if there are no credentials or no types are listed.
        """
        from spotwave.blocks.gcp.machine_types import read_catalogue

        return read_catalogue(self.clients(), self.regions, tell)

    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Return an offer for every type and zone with a spot SKU for each of its parts, at the list price.

        A missing catalogue is read at the same time. Raises `MarketUnavailable` like `catalogue`, and if the price list
        cannot be read.
        """
        from spotwave.blocks.gcp.market import read_market

        return read_market(self.clients(), self.regions, catalogue, tell)

    def interruptions(self, offers: Sequence[Offer]) -> dict[tuple[str, str, str], Rate]:
        """Return rates from the preemptions of the last seven days, for at most ten pools, one concurrent call each."""
        from spotwave.blocks.gcp.preemption_history import read_interruptions

        try:
            return read_interruptions(self.clients(), offers)
        except MarketUnavailable:
            return {}

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is an emulator, whose machines boot on this computer."""
        return is_loopback(self.compute_endpoint)

    def machines(self, template: str | None = None, patience_s: float = _PATIENCE_S) -> Machines:
        """Return the project's machines. template: replaces node/boot/bootstrap.sh; patience_s: time limit of one call
        including retries. Raises Misconfigured if there are no credentials."""
        from spotwave.blocks.gcp.machines import Machines
        from spotwave.blocks.gcp.refusals import refusing

        with refusing():
            return Machines(self.clients(), self._setup, template, patience_s, self._recent)

    @property
    def _setup(self) -> Setup:
        return Setup(
            image=self.image,
            image_arm64=self.image_arm64,
            network=self.network,
            subnetwork=self.subnetwork,
            public_ip=self.public_ip,
            service_account=self.service_account,
            secret_locations=tuple(self.secret_locations),
        )

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        return self.machines().launch(offer, brief, count)

    @classmethod
    def quotas_of(cls, offer: Offer) -> Mapping[str, float]:
        return quotas_of(offer)

    def quota_room(self, offers: Sequence[Offer]) -> list[QuotaRoom]:
        from spotwave.blocks.gcp.quota_room import quota_room

        try:
            return self._recent.get("quota room", lambda: quota_room(self.clients(), _QUOTA_PATIENCE_S))
        except MarketUnavailable:
            return []

    def find(self, job_key: str | None = None) -> list[Machine]:
        return self.machines().find(job_key)

    def state(self, machine: Machine) -> MachineState:
        return self.machines().state(machine)

    def terminate(self, machine: Machine) -> None:
        self.machines().terminate(machine)

    def billed_until(self, machine: Machine) -> datetime | None:
        return self.machines().billed_until(machine)

    @property
    def interruption_method(self) -> InterruptionMethod:
        from spotwave.blocks.gcp.interrupt import REHEARSAL

        return REHEARSAL

    def force_interruption(self, machine: Machine) -> None:
        from spotwave.blocks.gcp.interrupt import preempt
        from spotwave.blocks.gcp.refusals import refusing

        with refusing():
            preempt(self.clients(), machine, _PATIENCE_S)

    def leftovers(self, job_key: str | None = None) -> list[Leftover]:
        """Return secrets, and disks that no machine uses."""
        from spotwave.blocks.gcp.leftovers import leftovers
        from spotwave.blocks.gcp.refusals import refusing

        with refusing():
            return leftovers(self.clients(), job_key, _PATIENCE_S)

    def remove(self, leftover: Leftover) -> None:
        from spotwave.blocks.gcp.leftovers import remove
        from spotwave.blocks.gcp.refusals import refusing

        self._recent.clear()
        with refusing():
            remove(self.clients(), leftover, _PATIENCE_S)

    def check(self) -> Iterator[Finding]:
        """Check credentials, launcher's permissions, machines' role, network, images, regions, quota and secrets."""
        from spotwave.blocks.gcp.check import check

        yield from check(self.clients, self._setup, self.regions)

    def clients(self) -> Clients:
        from spotwave.blocks.gcp.clients import Clients, Endpoints

        endpoints = Endpoints(
            compute=self.compute_endpoint,
            billing=self.billing_endpoint,
            secrets=self.secret_endpoint,
            iam=self.iam_endpoint,
            projects=self.projects_endpoint,
        )
        return Clients(self.credentials, self.project, endpoints)
