"""Parsing of requests to Amazon: a form, or JSON and a header; the region is in the signature."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from tests.emulators.server import Request

ADVISOR = "/spot-advisor-data.json"


def form_of(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}


def scope_of(request: Request) -> list[str]:
    """Return the scope of the signature: key, date, region, service."""
    return request.headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")


def region_of(request: Request) -> str:
    scope = scope_of(request)
    return scope[2] if len(scope) > 2 else ""


def call_of(request: Request) -> tuple[str, str]:
    """Return action and region."""
    if request.path == ADVISOR:
        return "advisor", ""
    if not is_json(request):
        return form_of(request).get("Action", "?"), region_of(request)
    action = target_of(request)
    return action, dict(filters_of(request)).get("regionCode", "") if action == "GetProducts" else region_of(request)


def is_json(request: Request) -> bool:
    return "x-amz-target" in request.headers


def is_fis(request: Request) -> bool:
    """Whether it is for the Fault Injection Service, whose operations are determined by method and path."""
    return scope_of(request)[3:4] == ["fis"]


def target_of(request: Request) -> str:
    return request.headers["x-amz-target"].partition(".")[2]


def filters_of(request: Request) -> list[tuple[str, str]]:
    return [(one["Field"], one["Value"]) for one in json.loads(request.body).get("Filters", [])]
