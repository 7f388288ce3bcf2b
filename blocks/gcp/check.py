"""Checks of `spotwave check` for Google Cloud, without launching: one line per finding, with the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import requests
from google.api_core.exceptions import NotFound

from spotwave.blocks.errors import LaunchRefused, Unfit
from spotwave.blocks.gcp import secrets
from spotwave.blocks.gcp.clients import FAILURES, Clients
from spotwave.blocks.gcp.images import image_of
from spotwave.blocks.gcp.instance import Setup
from spotwave.blocks.gcp.refusals import refusal, refusing
from spotwave.blocks.models import Architecture, Finding

_PATIENCE_S = 10.0  # time limit of one call; there are about a dozen
_TIMEOUT_S = 20.0
_PAGE = "docs/accounts/gcp.md"
_ARCHITECTURES: tuple[Architecture, ...] = ("x86_64", "arm64")
_FEW_VCPUS = 8.0
_PROBE = "spotwave-check"

# What deployments/policies/gcp-launcher.yaml grants, except for the permissions needed only for prices.
PERMISSIONS = (
    "compute.disks.create",
    "compute.disks.delete",
    "compute.disks.list",
    "compute.disks.setLabels",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
    "secretmanager.secrets.create",
    "secretmanager.secrets.delete",
    "secretmanager.secrets.list",
    "secretmanager.versions.add",
)


class _Quota(NamedTuple):
    metric: str
    limit: float
    usage: float


def check(connect: Callable[[], Clients], setup: Setup, regions: list[str]) -> Iterator[Finding]:
    """Yield the findings for a block; raises nothing. connect: creates its clients, or raises MarketUnavailable;
    regions: the block's regions."""
    try:
        with refusing():
            clients = connect()
            project = clients.projects.get(project=clients.project, **Clients.call(_PATIENCE_S))
    except LaunchRefused as refused:
        yield Finding("credentials", False, refused.reason)  # all other checks would fail for the same reason
        return
    yield Finding("credentials", True, f"project {clients.project}")
    yield _permissions(clients)
    yield _service_account(clients, setup.service_account, project.default_service_account)
    yield _network(clients, setup)
    for architecture in _ARCHITECTURES:
        yield _image(clients, setup, architecture)
    yield from _regions(clients, regions)
    yield _secret(clients, list(setup.secret_locations), regions)


def _permissions(clients: Clients) -> Finding:
    what = "launcher's role"
    url = f"{clients.endpoints.projects}/v1/projects/{clients.project}:testIamPermissions"
    granted = _tested(clients, url, "https://cloudresourcemanager.googleapis.com/", PERMISSIONS)
    if isinstance(granted, str | int):
        return Finding(what, None, f"{granted}; run: gcloud services enable cloudresourcemanager.googleapis.com")
    lacking = [permission for permission in PERMISSIONS if permission not in granted]
    if lacking:
        return Finding(what, False, f"lacks {', '.join(lacking)}; {_grant('launcher')}")
    return Finding(what, True, f"has all {len(PERMISSIONS)} permissions")


def _service_account(clients: Clients, named: str, default: str) -> Finding:
    what = "machines' role"
    address = default if named == "default" else named
    if not address:
        return Finding(what, False, f"the project has no default service account; create one as in {_PAGE}, and enter "
                       "it in 'Service account'")  # fmt: skip
    url = f"{clients.endpoints.iam}/v1/projects/-/serviceAccounts/{address}:testIamPermissions"
    result = _tested(clients, url, "https://iam.googleapis.com/", ["iam.serviceAccounts.actAs"])
    if result == 404:
        return Finding(what, False, f"{address} does not exist; correct 'Service account'")
    if isinstance(result, str | int):
        return Finding(what, None, f"{address}: {result}; run: gcloud services enable iam.googleapis.com")
    if not result:
        return Finding(
            what, False, f"the launcher may not act as {address}; grant it roles/iam.serviceAccountUser there"
        )
    return Finding(what, True, f"{address}; only a machine can test whether it may read secrets and delete itself")


def _network(clients: Clients, setup: Setup) -> Finding:
    if setup.subnetwork or "/" in setup.network:
        return Finding("network", None, f"{setup.subnetwork or setup.network}: used as it is, not checked")
    try:
        clients.networks.get(project=clients.project, network=setup.network, **Clients.call(_PATIENCE_S))
    except NotFound:
        remedy = f"gcloud compute networks create {setup.network} --subnet-mode=auto"
        return Finding("network", False, f"the network '{setup.network}' does not exist; run: {remedy}")
    except FAILURES as error:
        return Finding("network", None, refusal(error).reason)
    way = "external addresses" if setup.public_ip else "no external addresses: Cloud NAT is required"
    return Finding("network", True, f"{setup.network}, {way}")


def _image(clients: Clients, setup: Setup, architecture: Architecture) -> Finding:
    what = f"image {architecture}"
    try:
        path = image_of(setup.image, setup.image_arm64, architecture)
    except Unfit as refused:
        return Finding(what, None, refused.reason)
    _, project, _, _, *name = path.split("/")
    call: dict[str, Any] = {"project": project, **Clients.call(_PATIENCE_S)}
    try:
        if name[0] == "family":
            found = clients.images.get_from_family(family=name[1], **call)
        else:
            found = clients.images.get(image=name[0], **call)
    except FAILURES as error:
        return Finding(what, False, refusal(error).reason)
    if found.architecture not in ("", architecture.upper()):
        return Finding(what, False, f"{path} is for {found.architecture.lower()}; choose another image")
    return Finding(what, True, path)


def _regions(clients: Clients, wanted: list[str]) -> Iterator[Finding]:
    try:
        listed = list(clients.regions.list(project=clients.project, **Clients.call(_PATIENCE_S)))
    except FAILURES as error:
        yield Finding("regions", None, refusal(error).reason)
        return
    quotas = {region.name: _quota(region) for region in listed if region.status == "UP"}
    for name in wanted:
        if name not in quotas:
            yield Finding(f"region {name}", False, "the project does not have it; correct 'Regions'")
    asked = [name for name in wanted if name in quotas] if wanted else list(quotas)
    few = [name for name in asked if quotas[name].limit - quotas[name].usage < _FEW_VCPUS]
    for name in wanted and asked:
        quota = quotas[name]
        free = f"{quota.limit - quota.usage:g} of {quota.limit:g} vCPUs are free ({quota.metric})"
        yield Finding(f"quota {name}", name not in few, f"{free}{_more(name in few)}")
    if not wanted:
        summary = f"{len(asked)} regions, {len(few)} of them with fewer than {_FEW_VCPUS:g} vCPUs free"
        yield Finding("quota", len(few) < len(asked), f"{summary}{_more(len(few) == len(asked))}")


def _quota(region: Any) -> _Quota:
    """Return the quota that spot VMs count against: the preemptible one if the project has any."""
    found = {quota.metric: _Quota(quota.metric, quota.limit, quota.usage) for quota in region.quotas}
    own = found.get("PREEMPTIBLE_CPUS")
    return own if own is not None and own.limit > 0 else found.get("CPUS", _Quota("CPUS", 0.0, 0.0))


def _secret(clients: Clients, named: list[str], regions: list[str]) -> Finding:
    """Store a secret where a launch would: in the block's locations, else replicated automatically, else regional."""
    tried = [named] if named else [[], *([region] for region in regions[:1])]
    for locations in tried:
        where = f" in {', '.join(locations)}" if locations else ""
        name = "-".join([_PROBE, *locations[:1]])
        try:
            with refusing():
                expiry = datetime.now(UTC) + timedelta(hours=1)
                secrets.create(clients, name, _PROBE, expiry, locations, _PATIENCE_S)
                secrets.delete(clients, name, _PATIENCE_S)
        except secrets.ForbiddenLocation:
            continue
        except LaunchRefused as refused:
            return Finding("secrets", False, refused.reason)
        return Finding("secrets", True, f"one was created{where} and deleted again")
    forbids = f"{secrets.LOCATIONS_POLICY} of the organization forbids them"
    if named or regions:
        field = "secret_locations" if named else "regions"
        return Finding("secrets", False, f"{forbids} in {', '.join(tried[-1])}; correct {field} in the GCP Cloud block")
    return Finding("secrets", None, f"{forbids} everywhere; each region tried will get its own")


def _tested(clients: Clients, url: str, audience: str, permissions: Any) -> set[str] | str | int:
    """Return the granted permissions; 404 if the resource is missing, or the reason why the test failed."""
    try:
        with clients.session(audience) as http:
            answer = http.post(url, json={"permissions": list(permissions)}, timeout=_TIMEOUT_S)
            if answer.status_code == requests.codes.not_found:
                return 404
            if answer.status_code != requests.codes.ok:
                return f"it cannot be tested ({answer.status_code})"
            return set(answer.json().get("permissions", []))
    except FAILURES as error:
        return f"it cannot be tested ({type(error).__name__})"
    except ValueError:
        return "the answer is not JSON"


def _grant(role: str) -> str:
    return f"update the role from deployments/policies/gcp-{role}.yaml ({_PAGE})"


def _more(wanted: bool) -> str:
    return "; request more under 'IAM & Admin, Quotas'" if wanted else ""
