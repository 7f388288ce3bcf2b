"""Google's services as their SDKs meet them: Compute Engine's REST API, and Cloud Billing's price list.

Every request goes by its route, so that one more kind of call is one more route and method.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from blocks.gcp import billing, machine_types
from tests.emulators.gcp_world import World, small_world
from tests.emulators.server import Answer, Emulator, Fault, Request, Response

Mask = dict[str, Any]  # {"items": {"*": {"warning": {}}}}; {}: everything below

_COMPUTE = r"/compute/v1/projects/(?P<project>[^/]+)"
MACHINE_TYPES, SKUS, HISTORY = "machineTypes", "skus", "capacityHistory"
_ROUTES: list[tuple[str, str, str]] = [
    ("GET", f"{_COMPUTE}/aggregated/machineTypes", MACHINE_TYPES),
    ("POST", f"{_COMPUTE}/regions/(?P<region>[^/]+)/advice/capacityHistory", HISTORY),
    ("GET", r"/v1/services/6F81-5844-456A/skus", SKUS),
]
_MOST_TYPES, _MOST_SKUS = 500, 5000  # of a page


class GcpEmulator(Emulator):
    """The project of `world`.

    Its calls read 'machineTypes page-3', 'skus', 'capacityHistory us-central1-a n2-standard-4'.
    """

    def __init__(self, world: World | None = None, latency_s: float = 0.0) -> None:
        super().__init__(latency_s)
        self.world = world or small_world()
        self.most_types = _MOST_TYPES  #: of a page, however many are asked for
        self.most_skus = _MOST_SKUS
        self.refuses_masks = False
        self._type_pages = cache(self._read_type_pages)
        self._sku_pages = cache(self._read_sku_pages)
        self._serves = {MACHINE_TYPES: self._list_types, SKUS: self._list_skus, HISTORY: self._history}

    def warm(self) -> None:
        """Render the pages that will be asked for now, so that a benchmark measures the client alone."""
        self._type_pages(self.most_types, machine_types.FIELDS)
        self._sku_pages(self.most_skus, billing.FIELDS)

    def name_of(self, request: Request) -> str:
        kind, _ = _route(request)
        if kind == HISTORY:
            return " ".join((HISTORY, *_pool(request)))
        return f"{kind} {request.query.get('pageToken', '')}".strip()

    def answer(self, request: Request) -> Response:
        kind, found = _route(request)
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return error(401, "required", "Request is missing required authentication credential.")
        if kind not in self._serves:
            return error(404, "notFound", f"Not found: {request.path}")
        if found.get("project", self.world.project) != self.world.project:
            return error(404, "notFound", "The resource 'projects/...' was not found")
        mask = request.headers.get("x-goog-fieldmask") or request.query.get("fields", "")
        if mask and self.refuses_masks:
            return error(400, "invalidParameter", f"Invalid field selection {mask}")
        return self._serves[kind](request, mask)

    def _list_types(self, request: Request, mask: str) -> Response:
        size = min(int(request.query.get("maxResults", "500")), self.most_types)
        return _page(self._type_pages(size, mask), request)

    def _list_skus(self, request: Request, mask: str) -> Response:
        size = min(int(request.query.get("pageSize", "5000")), self.most_skus)
        if request.query.get("currencyCode", "USD") != "USD":
            return error(400, "badRequest", "this emulator has US dollars only")
        return _page(self._sku_pages(size, mask), request)

    def _history(self, request: Request, mask: str) -> Response:
        """30 days of preemption rates at most; 404 for a pool that has none."""
        zone, machine_type = _pool(request)
        asked = json.loads(request.body)
        if asked["instanceProperties"]["scheduling"]["provisioningModel"] != "SPOT":
            return error(400, "invalid", "Invalid value for field 'provisioningModel'")
        rates = self.world.preemption_rates.get((machine_type, zone))
        if rates is None:
            return error(404, "notFound", "no history of that machine type")
        days = [{"interval": {}, "preemptionRate": rate} for rate in rates]
        return Response(json.dumps({"machineType": machine_type, "preemptionHistory": days}).encode())

    def _read_type_pages(self, size: int, mask: str) -> list[bytes]:
        """A page names every scope, those that have nothing on it with a warning; a scope can go on on the next."""
        zones = self.world.zones
        rows = [(zone, row) for zone, listed in zones.items() for row in listed]
        pages: list[bytes] = []
        for start in range(0, max(len(rows), 1), size):
            items: dict[str, Any] = {}
            for zone, row in rows[start : start + size]:
                items.setdefault(f"zones/{zone}", {"machineTypes": []})["machineTypes"].append(row)
            for zone in zones:
                items.setdefault(f"zones/{zone}", _nothing(zone))
                if zone in self.world.warnings:
                    items[f"zones/{zone}"] = {"warning": {"code": self.world.warnings[zone], "message": "..."}}
            page: dict[str, Any] = {"kind": "compute#machineTypeAggregatedList", "id": "...", "items": items}
            if start + size < len(rows):
                page["nextPageToken"] = f"page-{len(pages) + 1}"
            pages.append(_masked(page, mask))
        return pages

    def _read_sku_pages(self, size: int, mask: str) -> list[bytes]:
        skus = self.world.skus
        starts = range(0, max(len(skus), 1), size)
        return [
            _masked(
                {
                    "skus": skus[start : start + size],
                    "nextPageToken": f"page-{number}" if number < len(starts) else "",
                },
                mask,
            )
            for number, start in enumerate(starts, start=1)
        ]


def error(status: int, reason: str, message: str) -> Response:
    """As Google's JSON APIs refuse."""
    said = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return Response(json.dumps({"error": said}).encode(), status)


def fault(kind: str, answer: Answer, page: int | None = None, times: int = 10**9) -> Fault:
    """What happens to calls of that kind: MACHINE_TYPES, SKUS or HISTORY; to one page of a list, from 0, or to all."""

    def meets(request: Request) -> bool:
        token = request.query.get("pageToken", "page-0")
        return _route(request)[0] == kind and (page is None or token == f"page-{page}")

    return Fault(meets, answer, times)


def throttled() -> Answer:
    return lambda request, said: error(429, "rateLimitExceeded", "Rate Limit Exceeded")


def throttled_as_forbidden() -> Answer:
    """As Compute Engine has said it too."""
    return lambda request, said: error(403, "rateLimitExceeded", "Rate Limit Exceeded")


def server_error() -> Answer:
    return lambda request, said: error(503, "backendError", "Backend Error")


def refused(status: int = 403, reason: str = "forbidden") -> Answer:
    """Any of the services' own errors."""
    return lambda request, said: error(status, reason, "The message of the service")


def empty() -> Answer:
    """A good answer that lists nothing."""
    return lambda request, said: Response(b'{"nextPageToken": ""}')


def _nothing(zone: str) -> dict[str, Any]:
    return {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope 'zones/{zone}' on this page.",
            "data": [{"key": "scope", "value": f"zones/{zone}"}],
        }
    }


def _page(pages: list[bytes], request: Request) -> Response:
    number = int(request.query.get("pageToken", "page-0").removeprefix("page-"))
    return Response(pages[number])


def _route(request: Request) -> tuple[str, dict[str, str]]:
    for method, path, kind in _ROUTES:
        found = re.fullmatch(path, request.path)
        if found and request.method == method:
            return kind, found.groupdict()
    return f"{request.method} {request.path}", {}


def _pool(request: Request) -> tuple[str, str]:
    """(zone, machine type) of a question for capacity."""
    asked = json.loads(request.body)
    return asked["locationPolicy"]["location"].removeprefix("zones/"), asked["instanceProperties"]["machineType"]


def _masked(document: Any, mask: str) -> bytes:
    return json.dumps(_kept(document, _parsed(mask)) if mask else document).encode()


def _kept(document: Any, mask: Mask) -> Any:
    """Partial response, as all of Google's JSON APIs give it."""
    if not mask:
        return document
    if isinstance(document, list):
        return [_kept(one, mask) for one in document]
    chosen = {name: mask.get(name, mask.get("*")) for name in document}
    return {name: _kept(document[name], below) for name, below in chosen.items() if below is not None}


def _parsed(mask: str) -> Mask:
    """'a/b(c,d),e' as {a: {b: {c: {}, d: {}}}, e: {}}."""
    root: Mask = {}
    stack, at = [root], root
    for token in re.findall(r"[\w*]+|[(),/]", mask):
        if token == "(":
            stack.append(at)
        elif token == ")":
            stack.pop()
        elif token == ",":
            at = stack[-1]
        elif token != "/":
            at = at.setdefault(token, {})
    return root
