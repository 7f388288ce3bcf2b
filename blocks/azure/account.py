"""Resources of a subscription that machines use, derived from the block's settings: network, identity, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spotwave.blocks.azure.clients import Clients
from spotwave.blocks.azure.refusals import UnknownIdentity
from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import Architecture

IDENTITY_VERSION = "2023-01-31"
NETWORK_VERSION = "2024-05-01"
_NETWORK_S = 120.0
_OWN_SUBNET = "default"


@dataclass(frozen=True)
class Account:
    """Resource ids and names; holds no secrets."""

    resource_group: str
    network: str  #: the subnet's id, may contain '{region}'; empty: a network created by Spotwave
    identity: str  #: id of the machines' user-assigned identity
    images: Mapping[Architecture, str]
    endpoint: str
    vault_url: str

    def subnet(self, region: str) -> str | None:
        """Return the subnet's id in a region, None if the block has no subnet."""
        return self.network.replace("{region}", region) if self.network else None


def own_network(clients: Clients, account: Account, region: str) -> tuple[str, str]:
    """Return the ids of Spotwave's network in a region, shared by all machines there, and of its subnet."""
    group = f"/subscriptions/{clients.subscription}/resourceGroups/{account.resource_group}"
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/spotwave-{region}"
    return network, f"{network}/subnets/{_OWN_SUBNET}"


def subnet_for(clients: Clients, account: Account, region: str) -> str:
    """Return the id of the subnet in a region; creates it if the block has none. Raises the SDK's errors.

    Concurrent launches can safely create it, since name and body are always the same. Networks cost nothing and stay.
    No security group is needed: a standard public address blocks all inbound traffic without one.
    """
    if named := account.subnet(region):
        return named
    network, subnet = own_network(clients, account, region)
    if clients.get(subnet, NETWORK_VERSION) is None:
        settings = {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": _OWN_SUBNET, "properties": {"addressPrefix": "10.0.0.0/18"}}],
        }
        body: Any = {"location": region, "properties": settings}
        poller = clients.resources.begin_create_or_update_by_id(network, NETWORK_VERSION, body)
        poller.wait(_NETWORK_S)
        if not poller.done():
            name = network.rpartition("/")[2]
            raise Throttled(f"network: {name} is still being created after {_NETWORK_S:.0f} s", 10.0)
    return subnet


def client_id(clients: Clients, account: Account) -> str:
    """Return the client id of the machines' identity, for their metadata service. Raises UnknownIdentity, or the SDK's
    errors."""
    found = clients.get(account.identity, IDENTITY_VERSION)
    if found is None:
        raise UnknownIdentity(
            f"identity: {account.identity} does not exist; run az identity create -g {account.resource_group}"
            f" -n {account.identity.rpartition('/')[2]}, and see docs/accounts/azure.md for its rights"
        )
    return str(found["properties"]["clientId"])
