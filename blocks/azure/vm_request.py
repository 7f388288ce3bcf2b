"""Body of the one PUT that creates a machine with its disk, interface and address, all deleted together with it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from spotwave.blocks.azure.images import reference
from spotwave.blocks.azure.resource_ids import part, vm_name, zone_number
from spotwave.blocks.models import LaunchBrief, Offer
from spotwave.blocks.tags import DISK, in_pieces, node_tags_of

_NETWORK_VERSION = "2022-11-01"  # the newest that the compute API's `networkApiVersion` accepts
_DISK = "StandardSSD_LRS"
_USER = "azureuser"
_LEAST_DISK_GIB = 30  # size of the Ubuntu image; a disk cannot be smaller than its image


@dataclass(frozen=True)
class Place:
    """Resources of the account that a launch uses, by resource id; the image as for `images.checked`."""

    subnet: str
    identity: str
    image: str


def body(offer: Offer, brief: LaunchBrief, place: Place, user_data: bytes) -> dict[str, Any]:
    """Return the VM for the Compute API (Virtual Machines - Create Or Update, with network interface configuration).

    Overrides every default that costs money: disk, interface and address would be detached instead of deleted
    (Detach), and an evicted machine would keep all three (Deallocate).
    """
    name, gib = vm_name(brief, offer), max(_LEAST_DISK_GIB, round(brief.disk_gib))
    tags = {**node_tags_of(brief), DISK: str(gib)}  # the rented size, which is what bills
    address = {
        "name": part(name, "ip"),
        "sku": {"name": "Standard"},
        "tags": tags,
        "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
    }
    configuration = {"primary": True, "subnet": {"id": place.subnet}, "publicIPAddressConfiguration": address}
    interface = {
        "name": part(name, "nic"),
        "tags": tags,
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "ipConfigurations": [{"name": "ip", "properties": configuration}],
        },
    }
    found: dict[str, Any] = {
        "location": offer.region,
        "tags": {**tags, **in_pieces(offer)},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {place.identity: {}}},
        "properties": {
            "hardwareProfile": {"vmSize": offer.instance_type},
            "priority": "Spot",
            "evictionPolicy": "Delete",
            "billingProfile": {"maxPrice": -1},  # no eviction because of its price, and never above pay-as-you-go
            "storageProfile": {
                "imageReference": reference(place.image),
                "osDisk": {
                    "name": part(name, "disk"),
                    "createOption": "FromImage",
                    "deleteOption": "Delete",
                    "diskSizeGB": gib,
                    "managedDisk": {"storageAccountType": _DISK},
                },
            },
            "osProfile": _system(name, user_data),
            "networkProfile": {"networkApiVersion": _NETWORK_VERSION, "networkInterfaceConfigurations": [interface]},
        },
    }
    if zones := zone_number(offer.zone):
        found["zones"] = zones
    return found


def _system(name: str, user_data: bytes) -> dict[str, Any]:
    key = {"path": f"/home/{_USER}/.ssh/authorized_keys", "keyData": _throw_away_key()}
    return {
        "computerName": name,
        "adminUsername": _USER,
        "customData": base64.b64encode(user_data).decode(),
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
    }


@cache
def _throw_away_key() -> str:
    """Return a public key whose private key is discarded: Azure requires one, but logins are not wanted.

    Each process creates its own. The PUT has If-None-Match, so a repeated one is rejected by the name alone and the
    machine adopted; the two bodies are never compared.
    """
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
