"""Where in a subscription the machines live: what the block's settings come to."""

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
    """By resource ids and names; nothing secret."""

    resource_group: str
    network: str  #: the subnet's id, '{region}' in it standing for the region; empty: a network of our own
    identity: str  #: the id of the machines' user-assigned identity
    images: Mapping[Architecture, str]
    endpoint: str
    vault_url: str

    def subnet(self, region: str) -> str | None:
        """The subnet's id in a region, if the user named one."""
        return self.network.replace("{region}", region) if self.network else None


def own_network(clients: Clients, account: Account, region: str) -> tuple[str, str]:
    """The ids of the network that we make in a region, one for all machines there, and of its subnet."""
    group = f"/subscriptions/{clients.subscription}/resourceGroups/{account.resource_group}"
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/spotwave-{region}"
    return network, f"{network}/subnets/{_OWN_SUBNET}"


def subnet_for(clients: Clients, account: Account, region: str) -> str:
    """The id of the subnet in a region, made on demand where the user named none. Raises the SDK's errors.

    Making it is safe: the name is ours, the body always the same, so two launches at once make one; networks cost
    nothing and stay. No security group is needed: a standard public address lets nothing in without one.
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
            raise Throttled(f"network: {name} is still being made after {_NETWORK_S:.0f} s", 10.0)
    return subnet


def client_id(clients: Clients, account: Account) -> str:
    """Of the machines' identity, as its metadata service wants it. Raises UnknownIdentity, or the SDK's errors."""
    found = clients.get(account.identity, IDENTITY_VERSION)
    if found is None:
        raise UnknownIdentity(
            f"identity: there is none at {account.identity}; run az identity create -g {account.resource_group}"
            f" -n {account.identity.rpartition('/')[2]}, and see docs/accounts/azure.md for its rights"
        )
    return str(found["properties"]["clientId"])
