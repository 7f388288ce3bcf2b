"""Azure's errors in its words, how its calls are named, and what goes wrong with them, for `AzureEmulator.fail`."""

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
    """An error as Azure Resource Manager words it."""
    error: dict[str, Any] = {"error": {"code": code, "message": message}}
    return Response(json.dumps(error).encode(), status, headers=headers or {})


def name_of(request: Request) -> str:
    """The call in the words of `AzureEmulator`."""
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
    """'<type>.<method> <name>', of what lies below locations by that."""
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
    """Picks calls by a name of `name_of` or its first word, for `Fault.meets`."""
    return lambda request: name in (name_of(request), name_of(request).partition(" ")[0])


def fault(name: str, answer: Answer, times: int = 10**9) -> Fault:
    return Fault(calls_of(name), answer, times)


def instead(name: str, answer: Answer, times: int = 10**9) -> Fault:
    """A fault whose call is not done."""
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
    """Any of the service's own errors, e.g. 403 AuthorizationFailed."""
    return lambda request, said: refusal(status, code, message)


def empty() -> Answer:
    """A good answer that lists nothing."""

    def nothing(request: Request, said: Response) -> Response:
        if request.path == PRICES:
            return Response(b'{"BillingCurrency":"USD","Items":[],"NextPageLink":null,"Count":0}')
        if request.path == GRAPH:
            return Response(b'{"totalRecords":0,"count":0,"data":[],"facets":[],"resultTruncated":"false"}')
        return Response(b'{"value":[]}')

    return nothing
