"""Parameters of RunInstances: a one-time spot instance that is deleted together with its disks (EC2 API)."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any

from spotwave.blocks.aws.images import Image
from spotwave.blocks.aws.setup import TAGGED, Setup, tag_list
from spotwave.blocks.models import LaunchBrief, Offer
from spotwave.blocks.tags import in_pieces, tags_of


def token_of(offer: Offer, brief: LaunchBrief) -> str:
    """Return the client token, at most 64 characters. It differs per offer, since EC2 refuses a token with different
    parameters, and per round, since the deadline and the prices differ."""
    return sha256(f"{brief.brief.name} {offer.label}{brief.round_suffix}".encode()).hexdigest()


def launch_parameters(
    offer: Offer, brief: LaunchBrief, image: Image, subnet: str, setup: Setup, user_data: bytes
) -> dict[str, Any]:
    """Return the parameters of RunInstances; identical for two calls with the same job, attempt and offer.

    MinCount = MaxCount: EC2 launches all, or none if the zone has less capacity (EC2 API, RunInstances).
    """
    sizes = {**image.disks, image.root: max(math.ceil(brief.disk_gib), image.disks.get(image.root, 1))}
    tags = tag_list({"Name": brief.brief.name, **tags_of(brief), **in_pieces(offer)})
    parameters = {
        "ImageId": image.id,
        "InstanceType": offer.instance_type,
        "MinCount": brief.brief.nodes,
        "MaxCount": brief.brief.nodes,
        "ClientToken": token_of(offer, brief),
        "SubnetId": subnet,  # determines the zone
        "InstanceMarketOptions": {
            "MarketType": "spot",
            # A persistent request would launch another instance after this one ends.
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        "InstanceInitiatedShutdownBehavior": "terminate",  # the default stops it, and its disk would bill on
        "IamInstanceProfile": {"Name": setup.instance_profile},
        "UserData": user_data,  # botocore encodes it
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [
            {
                "DeviceName": device,
                "Ebs": {"VolumeSize": gib, "VolumeType": "gp3", "DeleteOnTermination": True},
            }
            for device, gib in sorted(sizes.items())
        ],
        "TagSpecifications": [{"ResourceType": made, "Tags": tags} for made in TAGGED],
    }
    if offer.burstable:
        parameters["CreditSpecification"] = {"CpuCredits": "standard"}  # unlimited could bill more than the offer
    return parameters
