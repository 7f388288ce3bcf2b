"""Block of Amazon EC2: spot prices and spot machines in every region of an account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

# The only SDK module that the block's form needs. Other SDK modules are imported on use, so that importing the block
# stays fast.
from prefect_aws import AwsCredentials
from pydantic import Field, PrivateAttr, field_validator

from spotwave.blocks.aws.quotas import spot_class
from spotwave.blocks.aws.setup import Setup, own_images
from spotwave.blocks.cloud import Catalogue, Cloud
from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.endpoints import Endpoint, checked, is_loopback
from spotwave.blocks.errors import MarketUnavailable, Misconfigured
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
    from spotwave.blocks.aws.clients import Clients
    from spotwave.blocks.aws.machines import Machines


class AwsCloud(Cloud):
    """
    Amazon EC2 spot instances: the current Linux price of every instance type in every availability zone.

    Its credentials need the policy `deployments/policies/aws-launcher.json`, its machines a role with
    `deployments/policies/aws-machine.json`; docs/accounts/aws.md sets both up. To read prices, the five
    ec2:Describe... permissions for regions, zones, types and prices are enough; these calls are free.

    Example:
        The cheapest arm64 machines of two regions:
        ```python
        from prefect_aws import AwsCredentials

        from spotwave.blocks.aws.block import AwsCloud

        cloud = AwsCloud(credentials=AwsCredentials.load("mine"), regions=["us-east-1", "eu-west-1"])
        cloud.save("aws")

        frame = cloud.market().frame
        print(frame.filter(architecture="arm64").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "AWS Cloud"
    _block_type_slug = "aws-cloud"

    kind: ClassVar[str] = "aws"
    least_billed_s: ClassVar[float] = 60.0  # for an instance, its disk and its address (EC2, EBS and VPC pricing)

    credentials: AwsCredentials = Field(
        title="Credentials",
        description="An AWS Credentials block. An endpoint URL in its client parameters applies to every region.",
    )
    regions: list[str] = Field(
        default_factory=list,
        title="Regions",
        description="Only these regions, e.g. ['us-east-1']. Empty: every region that is enabled for the account.",
    )
    advisor_endpoint: Endpoint = Field(
        "https://spot-bid-advisor.s3.amazonaws.com",
        title="Spot Advisor endpoint",
        description="Address of the public table of interruption frequencies.",
    )

    image: str = Field(
        "ubuntu-24.04",
        title="Image",
        description="'ubuntu-24.04' or 'al2023', the newest in every region; or your own AMIs, separated by commas, "
        "e.g. 'ami-1, ami-2' for x86-64 and arm64: a machine uses the one of its region and architecture.",
    )
    instance_profile: str = Field(
        "spotwave-machine",
        min_length=1,
        title="Instance profile",
        description="Machines get its role, which may read the job's secret and nothing else.",
    )
    subnets: list[str] = Field(
        default_factory=list,
        title="Subnets",
        description="Subnet IDs in any regions and zones, each with access to the internet. Empty: the default subnets "
        "of the default VPCs.",
    )

    fault_role: str = Field(
        "",
        title="Fault injection role",
        description="ARN of the role with which AWS Fault Injection Service may interrupt a machine, for `spotwave "
        "drill` (docs/drill.md); this costs about USD 0.20. Empty: a drill ends its machine without notice.",
    )

    _recent: Recent = PrivateAttr(default_factory=Recent)

    @field_validator("fault_role")
    @classmethod
    def _validate_role(cls, role: str) -> str:
        from spotwave.blocks.aws.interrupt import checked

        return checked(role)

    @field_validator("image")
    @classmethod
    def _validate_image(cls, image: str) -> str:
        own_images(image)
        return image

    @field_validator("credentials")
    @classmethod
    def _validate_endpoint(cls, credentials: AwsCredentials) -> AwsCredentials:
        """Validate the endpoint: signed calls carry session tokens, so only https or this computer is allowed."""
        parameters = credentials.aws_client_parameters
        if parameters.endpoint_url:
            checked(parameters.endpoint_url)
        elif not parameters.use_ssl:
            raise ValueError("credentials: turn on 'Use SSL' in the client parameters of the AWS Credentials block")
        return credentials

    def catalogue(self, tell: OnProgress = no_progress) -> Catalogue:
        """Return zones, instance types, on-demand prices and interruption rates of every region.

        Raises `MarketUnavailable` if there are no credentials or no region answers.
        """
        from spotwave.blocks.aws.clients import Clients
        from spotwave.blocks.aws.market import read_catalogue

        return read_catalogue(Clients(self.credentials), self.regions, self.advisor_endpoint, tell)

    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Return an offer for every usable type and availability zone, at the current price.

        A missing catalogue is read at the same time. Raises `MarketUnavailable` like `catalogue`.
        """
        from spotwave.blocks.aws.clients import Clients
        from spotwave.blocks.aws.market import read_market

        return read_market(Clients(self.credentials), self.regions, self.advisor_endpoint, catalogue, tell)

    def machines(self, template: str | None = None) -> Machines:
        """Return the account's machines; `template` replaces node/boot/bootstrap.sh. Raises Misconfigured if there are
        no credentials."""
        from spotwave.blocks.aws.machines import Machines

        return Machines(self._clients(), self._setup(template), self._recent)

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        return self.machines().launch(offer, brief, count)

    @classmethod
    def quotas_of(cls, offer: Offer) -> Mapping[str, float]:
        name = spot_class(offer.instance_type)
        return {name: float(offer.vcpus)} if name else {}

    def quota_room(self, offers: Sequence[Offer]) -> list[QuotaRoom]:
        from spotwave.blocks.aws.quota_room import quota_room

        try:
            return quota_room(self._clients(brisk=True), offers)
        except Misconfigured:
            return []

    def find(self, job_key: str | None = None) -> list[Machine]:
        return self.machines().find(job_key)

    def state(self, machine: Machine) -> MachineState:
        return self.machines().state(machine)

    def terminate(self, machine: Machine) -> None:
        self.machines().terminate(machine)

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        return self.machines().prices_held(machine, until)

    def billed_until(self, machine: Machine) -> datetime | None:
        return self.machines().billed_until(machine)

    @property
    def interruption_method(self) -> InterruptionMethod:
        from spotwave.blocks.aws.interrupt import ENDED, FORCED

        return FORCED if self.fault_role else ENDED

    def force_interruption(self, machine: Machine) -> None:
        if not self.fault_role:
            self.terminate(machine)
            return
        from spotwave.blocks.aws.interrupt import interrupt

        interrupt(self._clients(), machine, self.fault_role)

    @property
    def is_local(self) -> bool:
        return is_loopback(self.credentials.aws_client_parameters.endpoint_url or "")

    def leftovers(self, job_key: str | None = None) -> list[Leftover]:
        from spotwave.blocks.aws.leftovers import Leftovers

        return Leftovers(self._clients()).find(job_key)

    def remove(self, leftover: Leftover) -> None:
        from spotwave.blocks.aws.leftovers import Leftovers

        self._recent.clear()
        Leftovers(self._clients()).remove(leftover)

    def check(self) -> Iterator[Finding]:
        from spotwave.blocks.aws.check import findings

        try:
            clients = self._clients(brisk=True)
        except Misconfigured as refused:
            yield Finding("credentials", False, refused.reason)
            return
        yield from findings(clients, self._setup(), self.regions)

    def _clients(self, brisk: bool = False) -> Clients:
        from spotwave.blocks.aws.clients import Clients

        try:
            return Clients(self.credentials, brisk=brisk)
        except MarketUnavailable as error:
            raise Misconfigured(str(error)) from error

    def _setup(self, template: str | None = None) -> Setup:
        return Setup(self.image, self.instance_profile, self.subnets, template)
