"""What Compute Engine is asked for: the instance's body, its name and its token; the same for every repetition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from spotwave.blocks.gcp.images import disk_type_of, image_of
from spotwave.blocks.models import LaunchBrief, Offer
from spotwave.blocks.tags import OFFER, packed, tags_of

if TYPE_CHECKING:
    from google.cloud.compute_v1 import BulkInsertInstanceResource, Instance

_GRACE_S = 600  # after the deadline: the machine's own guard ends it earlier, with all that it has to save
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"  # what its service account may do is for IAM to say


@dataclass(frozen=True)
class Setup:
    """The fields of the block that every machine is made by."""

    image: str
    image_arm64: str | None
    network: str
    subnetwork: str | None
    public_ip: bool
    service_account: str  #: an address, or 'default'
    secret_locations: tuple[str, ...] = ()  #: empty: everywhere


def name_of(offer: Offer, brief: LaunchBrief) -> str:
    """The instance's name, which is also the second key of idempotency: the attempt's, and a few digits of the offer,
    since another offer of the same attempt, or the same in another round, must not meet the remains of the first.
    DNS-safe, 63 characters at most."""
    return f"{brief.brief.name}-{sha256(f'{offer.label}{brief.anew}'.encode()).hexdigest()[:6]}"


def token_of(offer: Offer, brief: LaunchBrief) -> str:
    """The requestId: Compute Engine ignores a second request with the same, and gives the first one's operation."""
    return str(uuid5(NAMESPACE_URL, f"spotwave:{brief.brief.job_key}:{brief.brief.attempt}:{offer.label}{brief.anew}"))


def instance_of(setup: Setup, offer: Offer, zone: str, brief: LaunchBrief, user_data: str) -> Instance:
    """A spot VM that leaves nothing behind, however it ends. Raises Unfit.

    The cloud itself ends it, should nothing on it be alive to do so: at a point in time, not after a duration. So
    every repetition sends the same, and one that comes late does not put the end off.
    """
    from google.cloud import compute_v1 as sdk

    labels = tags_of(brief)
    termination = datetime.fromtimestamp(math.ceil(brief.brief.deadline) + _GRACE_S, UTC)
    return sdk.Instance(
        name=name_of(offer, brief),
        machine_type=f"zones/{zone}/machineTypes/{offer.instance_type}",
        labels=labels,
        scheduling=sdk.Scheduling(
            provisioning_model="SPOT",
            instance_termination_action="DELETE",  # the default stops it, and its disk goes on billing
            on_host_maintenance="TERMINATE",
            automatic_restart=False,
            termination_time=termination.isoformat().replace("+00:00", "Z"),
        ),
        disks=[
            sdk.AttachedDisk(
                boot=True,
                auto_delete=True,
                initialize_params=sdk.AttachedDiskInitializeParams(
                    source_image=image_of(setup.image, setup.image_arm64, offer.architecture),
                    disk_size_gb=math.ceil(brief.disk_gib),
                    disk_type=f"zones/{zone}/diskTypes/{disk_type_of(offer.instance_type)}",
                    labels=labels,
                ),
            )
        ],
        network_interfaces=[_interface(setup, offer.region)],
        service_accounts=[sdk.ServiceAccount(email=setup.service_account, scopes=[_SCOPE])],
        metadata=sdk.Metadata(
            items=[sdk.Items(key="startup-script", value=user_data), sdk.Items(key=OFFER, value=packed(offer))]
        ),
    )


def bulk_of(instance: Instance, names: Sequence[str]) -> BulkInsertInstanceResource:
    """The same machine under several names, all of them or none.

    minCount: "If min_count instances cannot be created, then no instances will be created and instances already created
    will be deleted". The properties name types of machines and disks by their names, not by their paths (Compute Engine
    API, BulkInsertInstanceResource, InstanceProperties).
    """
    from google.cloud import compute_v1 as sdk

    properties = sdk.InstanceProperties(
        machine_type=instance.machine_type.rpartition("/")[2],
        labels=instance.labels,
        scheduling=instance.scheduling,
        disks=instance.disks,
        network_interfaces=instance.network_interfaces,
        service_accounts=instance.service_accounts,
        metadata=instance.metadata,
    )
    for disk in properties.disks:
        disk.initialize_params.disk_type = disk.initialize_params.disk_type.rpartition("/")[2]
    each = sdk.BulkInsertInstanceResourcePerInstanceProperties
    return sdk.BulkInsertInstanceResource(
        count=len(names),
        min_count=len(names),
        per_instance_properties={name: each(name=name) for name in names},
        instance_properties=properties,
    )


def subnetwork_of(named: str, region: str) -> str:
    """A subnetwork's name, or its path with {region} in it."""
    path = named if "/" in named else f"regions/{{region}}/subnetworks/{named}"
    return path.replace("{region}", region)


def network_of(named: str) -> str:
    return named if "/" in named else f"global/networks/{named}"


def _interface(setup: Setup, region: str) -> object:
    from google.cloud import compute_v1 as sdk

    access = [sdk.AccessConfig(type_="ONE_TO_ONE_NAT", name="External NAT")] if setup.public_ip else []
    if setup.subnetwork:
        return sdk.NetworkInterface(subnetwork=subnetwork_of(setup.subnetwork, region), access_configs=access)
    return sdk.NetworkInterface(network=network_of(setup.network), access_configs=access)
