"""Azure's error format, names of its calls, and faults for `AzureEmulator.fail`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.emulators.azure_world import SUBSCRIPTION
from tests.emulators.server import Answer, Fault, Request, Response

PRICES = "/api/retail/prices"
SKUS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/skus"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"
LOGIN = "/metadata/identity/oauth2/token"

EQUALS = re.compile(r"(\w+) eq '((?:[^']|'')*)'")
CONTAINS = re.compile(r"contains\((\w+), ?'((?:[^']|'')*)'\)")


def refusal(
    status: int, code: str, message: str = "The message of the service", headers: dict[str, str] | None = None
) -> Response:
    """Return an error in the format of Azure Resource Manager."""
    error: dict[str, Any] = {"error": {"code": code, "message": message}}
    return Response(json.dumps(error).encode(), status, headers=headers or {})


def name_of(request: Request) -> str:
    """Return the name of a call, as listed in `AzureEmulator`."""
    asked = request.query.get("$filter", "")
    if request.path == PRICES:
        equal = dict(EQUALS.findall(asked))
        if "armSkuName" in equal:
            return f"regions {equal['armSkuName']}"
        return f"{'spot' if CONTAINS.search(asked) else 'prices'} {equal.get('armRegionName', '')}"
    if request.path == SKUS:
        return f"skus {dict(EQUALS.findall(asked)).get('location', '')}"
    if request.path in (LOGIN, GRAPH):
        return {LOGIN: "login", GRAPH: "graph"}[request.path]
    return _resource(request) or f"{request.method} {request.path}"


_TYPED = re.compile(r"/providers/[^/]+/(?P<type>[A-Za-z]+)(/(?P<name>[^/]+))?(/(?P<below>[A-Za-z]+))?")


def _resource(request: Request) -> str | None:
    """Return '<type>.<method> <name>'; for resources below locations, named by their own type."""
    method = request.method.lower()
    if request.path.startswith(("/secrets", "/deletedsecrets")):
        _, collection, *names = request.path.split("/")
        return f"{collection}.{method} {names[0] if names else ''}".strip()
    found = _TYPED.search(request.path)
    if found is None:
        return None
    if found["type"].lower() == "locations" and found["below"]:
        return f"{found['below']}.{method} {found['name']}"
    return f"{found['type']}.{method if found['name'] else 'list'} {found['name'] or ''}".strip()


def calls_of(name: str) -> Callable[[Request], bool]:
    """Match calls by a name from `name_of` or its first word, for `Fault.meets`."""
    return lambda request: name in (name_of(request), name_of(request).partition(" ")[0])


def fault(name: str, answer: Answer, times: int = 10**9) -> Fault:
    return Fault(calls_of(name), answer, times)


def instead(name: str, answer: Answer, times: int = 10**9) -> Fault:
    """Return a fault whose call is not executed."""
    return Fault(calls_of(name), answer, times, instead=True)


def throttled(retry_after_s: int = 1) -> Answer:
    headers = {"Retry-After": str(retry_after_s)}

    def answer(request: Request, said: Response) -> Response:
        if request.path == PRICES:
            return Response(b'{"Error":{"Code":"429","Message":"Too many requests."}}', 429, headers=headers)
        return refusal(429, "TooManyRequests", headers=headers)

    return answer


def server_error() -> Answer:
    return lambda request, said: refusal(500, "InternalServerError")


def refused(status: int, code: str, message: str = "The message of the service") -> Answer:
    """Return any of the service's own errors, e.g. 403 AuthorizationFailed."""
    return lambda request, said: refusal(status, code, message)


def empty() -> Answer:
    """Return a valid answer with an empty list."""

    def nothing(request: Request, said: Response) -> Response:
        if request.path == PRICES:
            return Response(b'{"BillingCurrency":"USD","Items":[],"NextPageLink":null,"Count":0}')
        if request.path == GRAPH:
            return Response(b'{"totalRecords":0,"count":0,"data":[],"facets":[],"resultTruncated":"false"}')
        return Response(b'{"value":[]}')

    return nothing
