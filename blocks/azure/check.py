"""Checks of `spotwave check` for Azure, without launching: one finding each, with the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from spotwave.blocks.azure.account import IDENTITY_VERSION, NETWORK_VERSION, Account, own_network
from spotwave.blocks.azure.clients import SCOPE, Clients
from spotwave.blocks.azure.quotas import SPOT_QUOTA
from spotwave.blocks.azure.refusals import asked
from spotwave.blocks.azure.secrets import Vault, secret_name
from spotwave.blocks.concurrent import Unavailable, gather
from spotwave.blocks.errors import LaunchRefused, Misconfigured
from spotwave.blocks.models import Finding

_AT_ONCE = 8
_CHECK = "check"  # used in place of a job key
_RIGHTS = "give the launcher the role in deployments/policies/azure-launcher.json on the resource group"
_RESOURCES = "2021-04-01"
_AUTHORIZATION = "2022-04-01"
_IMAGES = {"images": "2024-07-01", "galleries": "2023-07-03"}
# The permissions of the launcher's role that a launch and a termination need.
NEEDED = (
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/networkInterfaces/join/action",
    "Microsoft.Network/networkInterfaces/delete",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPAddresses/write",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/publicIPAddresses/delete",
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
)
OF_NETWORK = (
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/write",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
)


class Checks:
    """Checks of an account. The clients' timeouts bound every call, and at most one call per region is made."""

    def __init__(self, clients: Clients, account: Account, regions: Sequence[str]) -> None:
        self._clients = clients
        self._account = account
        self._regions = list(regions)
        self._subscription = f"/subscriptions/{clients.subscription}"
        self._group = f"{self._subscription}/resourceGroups/{account.resource_group}"

    def findings(self) -> Iterator[Finding]:
        """Yield the findings; raises nothing. Stops after the first if the credentials do not work."""
        first = self._checked("credentials", self._credentials)
        yield first
        if not first.ok:
            return
        yield self._checked("resource group", self._resource_group)
        yield self._checked("providers", self._providers)
        yield self._checked("rights", self._rights)
        yield from self._quotas()
        yield self._checked("identity", self._identity)
        yield from (self._checked(f"network {region}", lambda at=region: self._network(at)) for region in self._near())  # type: ignore[misc]
        for architecture in self._account.images:
            yield self._checked(f"image {architecture}", lambda of=architecture: self._image(of))  # type: ignore[misc]
        yield self._checked("secrets", self._secrets)

    @staticmethod
    def _checked(what: str, check: Callable[[], tuple[bool | None, str]]) -> Finding:
        try:
            with asked("the request"):
                ok, message = check()
        except Misconfigured as refused:
            return Finding(what, False, refused.reason)
        except LaunchRefused as refused:
            return Finding(what, None, refused.reason)
        except (KeyError, TypeError, ValueError) as error:
            return Finding(what, None, f"the answer could not be read ({type(error).__name__})")
        return Finding(what, ok, message)

    def _near(self) -> list[str]:
        """Return the regions to check one by one: those of the block, else one that every subscription has."""
        return self._regions or ["eastus"]

    def _credentials(self) -> tuple[bool, str]:
        self._clients.credential.get_token(SCOPE)
        found = self._clients.get(self._subscription, "2022-12-01")
        if found is None:
            return False, "no such subscription for this identity; check the subscription ID of the credentials"
        if found.get("state") != "Enabled":
            return False, f"the subscription is {found.get('state')}; enable it in the portal"
        return True, f"subscription {self._clients.subscription} is enabled"

    def _resource_group(self) -> tuple[bool, str]:
        name = self._account.resource_group
        if self._clients.get(self._group, _RESOURCES) is None:
            return (
                False,
                f"{name} does not exist; run az group create -n {name} -l {self._near()[0]}",
            )
        return True, f"{name} exists"

    def _providers(self) -> tuple[bool, str]:
        names = ("Microsoft.Compute", "Microsoft.Network", "Microsoft.ManagedIdentity", "Microsoft.KeyVault")
        lacking = [name for name in names if not self._is_registered(name)]
        if lacking:
            return False, "not registered; run " + " && ".join(f"az provider register -n {name}" for name in lacking)
        return True, "all are registered"

    def _is_registered(self, name: str) -> bool:
        found = self._clients.get(f"{self._subscription}/providers/{name}", _RESOURCES)
        return found is not None and found.get("registrationState") == "Registered"

    def _rights(self) -> tuple[bool, str]:
        path = f"{self._group}/providers/Microsoft.Authorization/permissions"
        granted = (self._clients.get(path, _AUTHORIZATION) or {})["value"]
        needed = NEEDED if self._account.network else NEEDED + OF_NETWORK
        lacking = [action for action in needed if not any(_allows(one, action) for one in granted)]
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            return False, f"missing {', '.join(lacking[:3])}{more}; {_RIGHTS}"
        return True, f"all that a launch needs in {self._account.resource_group}"

    def _quotas(self) -> Iterator[Finding]:
        """Yield a finding per region of the block, or one for all regions if the block has none."""
        regions = self._regions
        if not regions:
            try:
                with asked("the request"):
                    listed = self._clients.get(f"{self._subscription}/locations", "2022-12-01") or {}
                regions = [row["name"] for row in listed["value"] if row["metadata"]["regionType"] == "Physical"]
            except (LaunchRefused, KeyError, TypeError) as error:
                yield Finding("quota", None, f"the regions could not be listed ({type(error).__name__}); try again")
                return
        answers, failed = gather({region: lambda at=region: self._spot_vcpus(at) for region in regions}, _AT_ONCE)  # type: ignore[misc]
        if self._regions:
            for region in regions:
                if region in failed:
                    yield Finding(f"quota {region}", None, failed[region])
                else:
                    left, limit = answers[region]
                    yield Finding(f"quota {region}", left > 0, f"{left} of {limit} spot vCPUs left{_more(left)}")
            return
        free = [region for region, (left, _) in answers.items() if left > 0]
        most = max((left for left, _ in answers.values()), default=0)
        summary = f"spot vCPUs left in {len(free)} of {len(regions)} regions, at most {most}{_more(most)}"
        yield Finding("quota", bool(free) if answers else None, summary)

    def _spot_vcpus(self, region: str) -> tuple[int, int]:
        """Return (left, limit)."""
        try:
            with asked("the request"):
                for row in self._clients.compute.usage.list(region):
                    if row.name is not None and row.name.value == SPOT_QUOTA:
                        return int(row.limit - row.current_value), int(row.limit)
        except LaunchRefused as error:
            raise Unavailable(error.reason) from error
        except (TypeError, ValueError) as error:
            raise Unavailable(f"the answer could not be read ({type(error).__name__})") from error
        raise Unavailable("the region reports no quota of spot vCPUs")

    def _identity(self) -> tuple[bool | None, str]:
        identity, group = self._account.identity, self._account.resource_group
        name = identity.rpartition("/")[2]
        found = self._clients.get(identity, IDENTITY_VERSION)
        if found is None:
            return False, f"the identity {name} does not exist; run az identity create -g {group} -n {name}"
        path = f"{self._subscription}/providers/Microsoft.Authorization/roleAssignments"
        of_identity = f"principalId eq '{found['properties']['principalId']}'"
        assigned = (self._clients.get(path, _AUTHORIZATION, **{"$filter": of_identity}) or {})["value"]
        scopes = [row["properties"]["scope"].lower() for row in assigned]
        here = [scope for scope in scopes if f"{self._group.lower()}/".startswith(f"{scope.rstrip('/')}/")]
        if not here:
            return False, (
                f"{name} may not delete its machine: give it the role in deployments/policies/azure-machine.json"
            )
        # The role for the vault may also be assigned on the group.
        if len(here) < 2 and not any("/vaults/" in scope for scope in scopes):
            return False, f"{name} may not read the secret: give it the role Key Vault Secrets User on the vault"
        return True, f"{name} exists and has roles"

    def _network(self, region: str) -> tuple[bool, str]:
        named = self._account.subnet(region)
        if named is not None:
            if self._clients.get(named, NETWORK_VERSION) is None:
                _, _, _, _, group, _, _, _, network, _, subnet = named.split("/")
                return False, (
                    f"network: {network}/{subnet} does not exist; run az network vnet create -g {group} -n {network}"
                    f" -l {region} --subnet-name {subnet}"
                )
            return True, "the subnet exists"
        network, subnet = own_network(self._clients, self._account, region)
        name = network.rpartition("/")[2]
        if self._clients.get(subnet, NETWORK_VERSION) is None:
            return True, f"{name} will be created by the first launch"
        return True, f"{name} exists"

    def _image(self, architecture: Any) -> tuple[bool | None, str]:
        image = self._account.images[architecture]
        if image.startswith("/"):
            kind = next((kind for kind in _IMAGES if f"/{kind}/" in image.lower()), None)
            if kind is None:
                return None, "a shared image: only a launch can test it"
            if self._clients.get(image, _IMAGES[kind]) is None:
                return False, "image: no image has that ID, or the launcher may not read it"
            return True, "the image exists"
        publisher, offer, sku, _ = image.split(":")
        versions = self._clients.compute.virtual_machine_images.list(self._near()[0], publisher, offer, sku, top=1)
        if not versions:
            return False, f"image: {image} has no version; choose another"
        return True, f"{offer} {sku} exists"

    def _secrets(self) -> tuple[bool, str]:
        vault = Vault(self._clients)
        vault.put(_CHECK, "{}", {})
        with suppress(LaunchRefused):  # the next check reports it, since the name is then in use
            vault.delete(secret_name(_CHECK))
        return True, f"{self._account.vault_url} can be written"


def _allows(granted: dict[str, Any], action: str) -> bool:
    def among(patterns: list[str]) -> bool:
        return any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), action, re.IGNORECASE) for one in patterns)

    return among(granted.get("actions", [])) and not among(granted.get("notActions", []))


def _more(left: int) -> str:
    return "" if left > 0 else "; request more in the portal: Quotas, Compute, Total Regional Spot vCPUs"
