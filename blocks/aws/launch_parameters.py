"""What RunInstances is asked for: a spot instance that ends for good, with all that came with it (EC2 API)."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any

from spotwave.blocks.aws.images import Image
from spotwave.blocks.aws.setup import TAGGED, Setup, tag_list
from spotwave.blocks.models import LaunchBrief, Offer
from spotwave.blocks.tags import in_pieces, tags_of


def token_of(offer: Offer, brief: LaunchBrief) -> str:
    """Another for another offer: EC2 refuses a token that comes with other parameters. Another for another round, whose
    deadline and prices differ too. 64 characters at most."""
    return sha256(f"{brief.brief.name} {offer.label}{brief.anew}".encode()).hexdigest()


def launch_parameters(
    offer: Offer, brief: LaunchBrief, image: Image, subnet: str, setup: Setup, user_data: bytes
) -> dict[str, Any]:
    """Of RunInstances. Nothing in it differs between two calls for the same job, attempt and offer.

    MinCount = MaxCount: EC2 launches all, or none where the zone has less capacity (EC2 API, RunInstances).
    """
    sizes = {**image.disks, image.root: max(math.ceil(brief.disk_gib), image.disks.get(image.root, 1))}
    tags = tag_list({"Name": brief.brief.name, **tags_of(brief), **in_pieces(offer)})
    parameters = {
        "ImageId": image.id,
        "InstanceType": offer.instance_type,
        "MinCount": brief.brief.nodes,
        "MaxCount": brief.brief.nodes,
        "ClientToken": token_of(offer, brief),
        "SubnetId": subnet,  # fixes the zone
        "InstanceMarketOptions": {
            "MarketType": "spot",
            # A persistent request would launch it again after its end.
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        "InstanceInitiatedShutdownBehavior": "terminate",  # the default stops: its disk would bill on
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
        parameters["CreditSpecification"] = {"CpuCredits": "standard"}  # unlimited bills beyond the offer's price
    return parameters
