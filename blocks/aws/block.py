"""Amazon's cloud: spot prices of every region of an account."""

from __future__ import annotations

from typing import ClassVar

# The one module of an SDK that the form needs; what asks and reads is imported when it is used, so that knowing the
# block stays cheap.
from prefect_aws import AwsCredentials
from pydantic import Field, field_validator

from blocks.cloud import Catalogue, Tell, untold
from blocks.endpoints import Endpoint, checked
from blocks.market import Market
from blocks.prices_only import PricesOnly


class AwsCloud(PricesOnly):
    """
    Amazon EC2 spot instances: the current Linux price of every instance type in every availability zone.

    It needs credentials that may ec2:DescribeRegions, ec2:DescribeAvailabilityZones, ec2:DescribeInstanceTypes,
    ec2:DescribeInstanceTypeOfferings and ec2:DescribeSpotPriceHistory. pricing:GetProducts adds on-demand prices,
    to compare with. All of these calls are free.

    Example:
        The cheapest arm64 machines of two regions:
        ```python
        from prefect_aws import AwsCredentials

        from blocks.aws.block import AwsCloud

        cloud = AwsCloud(credentials=AwsCredentials.load("mine"), regions=["us-east-1", "eu-west-1"])
        cloud.save("aws")

        frame = cloud.market().frame
        print(frame.filter(architecture="arm64").sort("spot_usd_h").head())
        ```
    """

    _block_type_name = "AWS Cloud"
    _block_type_slug = "aws-cloud"

    kind: ClassVar[str] = "aws"

    credentials: AwsCredentials = Field(
        title="Credentials",
        description="An AWS Credentials block. An endpoint URL in its client parameters holds for every region.",
    )
    regions: list[str] = Field(
        default_factory=list,
        title="Regions",
        description="Only these, e.g. ['us-east-1']. Empty: every region that the account has enabled.",
    )
    advisor_endpoint: Endpoint = Field(
        "https://spot-bid-advisor.s3.amazonaws.com",
        title="Spot Advisor endpoint",
        description="Where the public table of interruption frequencies is.",
    )

    @field_validator("credentials")
    @classmethod
    def _over_a_safe_line(cls, credentials: AwsCredentials) -> AwsCredentials:
        """Signed calls carry session tokens: over https, or to this computer alone."""
        parameters = credentials.aws_client_parameters
        if parameters.endpoint_url:
            checked(parameters.endpoint_url)
        elif not parameters.use_ssl:
            raise ValueError("credentials: turn on 'Use SSL' in the client parameters of the AWS Credentials block")
        return credentials

    def catalogue(self, tell: Tell = untold) -> Catalogue:
        """Zones, instance types, on-demand prices and interruption words of every region.

        Raises `MarketUnavailable` without credentials, or where no region answers.
        """
        from blocks.aws.clients import Clients
        from blocks.aws.market import read_catalogue

        return read_catalogue(Clients(self.credentials), self.regions, self.advisor_endpoint, tell)

    def market(self, catalogue: Catalogue | None = None, tell: Tell = untold) -> Market:
        """An offer for every usable type and availability zone, at the price that holds now.

        Without a catalogue it is read at the same time. Raises `MarketUnavailable` as `catalogue` does.
        """
        from blocks.aws.clients import Clients
        from blocks.aws.market import read_market

        return read_market(Clients(self.credentials), self.regions, self.advisor_endpoint, catalogue, tell)
