"""Project data of the emulated Google: caller, regions and quotas, network, images, permissions."""

from __future__ import annotations

import json
from typing import Any

import jwt

from tests.emulators.gcp_answers import error, reply
from tests.emulators.gcp_rules import IMAGES, NETWORKS
from tests.emulators.gcp_world import World
from tests.emulators.server import Request, Response

LAUNCHER = "reader@spotwave-test.iam.gserviceaccount.com"
_PLENTY = (200.0, 0.0)


def is_launcher(request: Request, service: str) -> bool:
    """Whether the token was signed with the launcher's key, for this service only."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, options={"verify_signature": False, "verify_aud": False, "verify_exp": True})
    except jwt.InvalidTokenError:
        return False
    return claims.get("iss") == LAUNCHER and claims.get("aud") == f"https://{service}.googleapis.com/"


def project(world: World) -> Response:
    return reply(
        {"name": world.project, "defaultServiceAccount": world.machine_account, "quotas": _rows(world.project_quotas)}
    )


def regions(world: World) -> Response:
    names = sorted({zone.rpartition("-")[0] for zone in world.zones})
    return reply({"items": [_region(name, world.quotas.get(name, {})) for name in names]})


def network(name: str) -> Response:
    if name in NETWORKS:
        return reply({"name": name, "autoCreateSubnetworks": True})
    return error(404, "notFound", f"The resource 'projects/spotwave-test/global/networks/{name}' was not found")


def image(path: str) -> Response:
    if path in IMAGES:
        return reply({"name": path.rpartition("/")[2], "architecture": IMAGES[path], "diskSizeGb": "10"})
    return error(404, "notFound", f"The resource 'projects/{path}' was not found")


def permissions(world: World, request: Request) -> Response:
    asked: list[str] = json.loads(request.body)["permissions"]
    return reply({"permissions": [one for one in asked if one not in world.lacks]})


def account_permissions(world: World, email: str, request: Request) -> Response:
    if email != world.machine_account:
        return error(404, "notFound", "Unknown service account")
    return permissions(world, request)


def _region(name: str, quotas: dict[str, tuple[float, float]]) -> dict[str, Any]:
    known = {"CPUS": _PLENTY, "PREEMPTIBLE_CPUS": _PLENTY, "IN_USE_ADDRESSES": (8.0, 0.0), **quotas}
    return {"name": name, "status": "UP", "quotas": _rows(known)}


def _rows(quotas: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """Return the quotas, without those per family, which are in another API, Cloud Quotas."""
    told = {metric: amounts for metric, amounts in quotas.items() if " " not in metric}
    return [{"metric": metric, "limit": limit, "usage": usage} for metric, (limit, usage) in told.items()]
