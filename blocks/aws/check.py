"""Checks of `spotwave check` for AWS: everything that a launch needs, without launching, and in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from spotwave.blocks.aws.clients import AT_MOST, Clients
from spotwave.blocks.aws.images import image_for
from spotwave.blocks.aws.launch_parameters import launch_parameters
from spotwave.blocks.aws.network import no_subnet, subnets_of
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.aws.secrets import create_secret, delete_secret
from spotwave.blocks.aws.setup import Setup, secret_name
from spotwave.blocks.concurrent import gather
from spotwave.blocks.errors import LaunchRefused, Throttled, Unfit
from spotwave.blocks.models import Architecture, Finding, LaunchBrief, Offer
from spotwave.blocks.tags import DEADLINE, JOB
from spotwave.node.contract import Brief

# Service Quotas, 'All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests', in vCPUs.
_STANDARD_SPOT = "L-34B43A08"
_SPOT_ROLE = "AWSServiceRoleForEC2Spot"
_MAKE_SPOT_ROLE = "run `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`"
_ARCHITECTURES: tuple[Architecture, ...] = ("x86_64", "arm64")
# Available in every region.
_USUAL_TYPE: dict[Architecture, str] = {"x86_64": "t3.large", "arm64": "t4g.large"}


def findings(clients: Clients, setup: Setup, wanted: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings one by one; a check that fails to run is a finding too."""
    account = _checked("credentials", lambda: _account(clients))
    yield account
    if not account.ok:
        return
    try:
        enabled = [row["RegionName"] for row in clients.listed("ec2", clients.home, "describe_regions", "Regions")]
    except LaunchRefused as refused:
        yield Finding("regions", False, refused.reason)
        return
    yield _regions(enabled, wanted)
    yield _checked("role", lambda: _role(clients, setup))
    yield _checked("spot role", lambda: _spot_role(clients))
    regions = [region for region in enabled if not wanted or region in wanted]
    checks: dict[str, Callable[[], Finding]] = {}
    for region in regions:
        checks[f"quota {region}"] = partial(_quota, clients, region)
        checks[f"image {region}"] = partial(_image, clients, setup, region)
        checks[f"network {region}"] = partial(_network, clients, setup, region)
    yield from gather({what: partial(_checked, what, check) for what, check in checks.items()}, AT_MOST)[0].values()
    yield _checked("secret", lambda: _secret(clients))
    if regions:
        region = clients.home if clients.home in regions else regions[0]
        yield _checked("launch", lambda: _launch(clients, setup, region))


def _checked(what: str, check: Callable[[], Finding]) -> Finding:
    try:
        return replace(check(), what=what)
    except Throttled as refused:
        return Finding(what, None, refused.reason)
    except LaunchRefused as refused:
        return Finding(what, False, refused.reason)
    except LookupError:
        return Finding(what, None, "the service's answer cannot be read; try again later")


def _account(clients: Clients) -> Finding:
    answer = clients.call("sts", clients.home, "get_caller_identity")
    return Finding("", True, f"account {answer['Account']}, {answer['Arn'].rpartition(':')[2]}")


def _regions(enabled: Sequence[str], wanted: Sequence[str]) -> Finding:
    if missing := [region for region in wanted if region not in enabled]:
        return Finding("regions", False, f"{', '.join(missing)} not enabled; enable them for the account, or leave out")
    return Finding("regions", True, f"{len(wanted or enabled)} of {len(enabled)} enabled regions are in use")


def _role(clients: Clients, setup: Setup) -> Finding:
    name = setup.instance_profile
    try:
        profile = clients.call("iam", clients.home, "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
    except LaunchRefused as refused:
        if code_behind(refused) == "NoSuchEntity":
            return Finding("", False, f"instance_profile: {name} does not exist; create it, see docs/accounts/aws.md")
        raise
    roles = [role["RoleName"] for role in profile["Roles"]]
    if not roles:
        return Finding("", False, f"instance_profile: {name} has no role; add one, see docs/accounts/aws.md")
    return Finding("", True, f"instance profile {name} has the role {roles[0]}")


def _spot_role(clients: Clients) -> Finding:
    """Check Amazon's service-linked role for spot, which every account needs."""
    try:
        clients.call("iam", clients.home, "get_role", RoleName=_SPOT_ROLE)
    except LaunchRefused as refused:
        if code_behind(refused) == "NoSuchEntity":
            return Finding("", False, f"this account has never used spot; {_MAKE_SPOT_ROLE}")
        raise
    return Finding("", True, f"{_SPOT_ROLE} exists")


def _quota(clients: Clients, region: str) -> Finding:
    """Check the spot quota of types without GPU; types with GPU have quotas of their own."""
    try:
        answer = clients.call(
            "service-quotas", region, "get_service_quota", ServiceCode="ec2", QuotaCode=_STANDARD_SPOT
        )
    except LaunchRefused as refused:
        # Not a failure: a launch does not need this permission.
        return Finding("", None, refused.reason)
    vcpus = int(answer["Quota"]["Value"])
    if vcpus < 2:
        return Finding("", False, f"{vcpus} spot vCPUs; request more under Service Quotas, code {_STANDARD_SPOT}")
    return Finding("", True, f"{vcpus} spot vCPUs")


def _image(clients: Clients, setup: Setup, region: str) -> Finding:
    found, lacking = [], []
    for architecture in _ARCHITECTURES:
        try:
            found.append(f"{architecture} {image_for(clients, region, architecture, setup.image).id}")
        except Unfit:
            lacking.append(architecture)
    if lacking:
        found.append(f"none for {', '.join(lacking)}: offers with it are skipped")
    return Finding("", len(lacking) < len(_ARCHITECTURES), f"{setup.image}: {'; '.join(found)}")


def _network(clients: Clients, setup: Setup, region: str) -> Finding:
    zones = sorted({row["AvailabilityZone"] for row in subnets_of(clients, region, setup.subnets)})
    if not zones:
        return Finding("", False, no_subnet(setup.subnets))
    return Finding("", True, f"a subnet in {', '.join(zones)}")


def _secret(clients: Clients) -> Finding:
    """Write a secret and delete it; its tags let the reaper find it if the deletion fails."""
    name = secret_name(f"check-{uuid4().hex[:12]}")
    create_secret(clients, name, "{}", {JOB: "check", DEADLINE: str(int(time.time()))})
    delete_secret(clients, clients.home, name)
    return Finding("", True, f"spotwave/* can be written and deleted in {clients.home}")


def _launch(clients: Clients, setup: Setup, region: str) -> Finding:
    """Make a dry run of the launch call, which tests all permissions, also the one to pass the role."""
    subnets = subnets_of(clients, region, setup.subnets)
    if not subnets:
        return Finding("", None, f"no subnet in {region} to try a launch in")
    subnet = subnets[0]
    for architecture in _ARCHITECTURES:
        try:
            image = image_for(clients, region, architecture, setup.image)
        except Unfit:
            continue
        offer, brief = _example(region, subnet["AvailabilityZone"], architecture)
        parameters = launch_parameters(offer, brief, image, subnet["SubnetId"], setup, b"#!/bin/sh\n")
        try:
            clients.call("ec2", region, "run_instances", once=True, DryRun=True, **parameters)
        except LaunchRefused as refused:
            if code_behind(refused) != "DryRunOperation":
                raise
        return Finding("", True, f"a spot machine can be launched in {region}")
    return Finding("", None, "no image to try a launch with")


def _example(region: str, zone: str, architecture: Architecture) -> tuple[Offer, LaunchBrief]:
    offer = Offer(
        cloud="aws",
        instance_type=_USUAL_TYPE[architecture],
        region=region,
        zone=zone,
        family="t3",
        vcpus=2,
        cores=1,
        memory_gib=8,
        architecture=architecture,
        spot_usd_h=0,
        notice_s=0,
        burstable=True,
        seen_at=datetime.now(UTC),
    )
    brief = Brief(job_key="check", attempt=1, remote="", lease_id="", vcpus=2, memory_gib=8, deadline=0)
    return offer, LaunchBrief(brief, {})
