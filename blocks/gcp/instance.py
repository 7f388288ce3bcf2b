"""Request body, name and token of an instance; identical for every repetition of a launch."""

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

_GRACE_S = 600  # after the deadline: time for the machine's own guard to end it and save its data
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"  # IAM restricts the service account's permissions


@dataclass(frozen=True)
class Setup:
    """The block's fields that apply to every machine."""

    image: str
    image_arm64: str | None
    network: str
    subnetwork: str | None
    public_ip: bool
    service_account: str  #: an address, or 'default'
    secret_locations: tuple[str, ...] = ()  #: empty: everywhere


def name_of(offer: Offer, brief: LaunchBrief) -> str:
    """Return the instance's name, which also ensures idempotency: the attempt's name and a short hash of the offer and
    the round, since a launch with another offer or in another round must not collide with remains of the first.
    DNS-safe, at most 63 characters."""
    return f"{brief.brief.name}-{sha256(f'{offer.label}{brief.round_suffix}'.encode()).hexdigest()[:6]}"


def token_of(offer: Offer, brief: LaunchBrief) -> str:
    """Return the requestId: Compute Engine answers a second request with the same id with the first one's operation."""
    return str(
        uuid5(NAMESPACE_URL, f"spotwave:{brief.brief.job_key}:{brief.brief.attempt}:{offer.label}{brief.round_suffix}")
    )


def instance_of(setup: Setup, offer: Offer, zone: str, brief: LaunchBrief, user_data: str) -> Instance:
    """Return a spot VM that leaves nothing behind when it ends. Raises Unfit.

    Compute Engine deletes it at a fixed time if the machine has not ended itself by then. A fixed time, unlike a
    duration, keeps repeated requests identical, and a late one does not postpone the end.
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
            instance_termination_action="DELETE",  # the default stops it, and its disk continues to bill
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
    """Return the path of a subnetwork from its name, or from a path that may contain {region}."""
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
