"""Azure as its SDK and its public price list meet it: Retail Prices, Resource Manager, Resource Graph, Key Vault,
and IMDS tokens of the launcher.

One server is all of them. Every request goes by its path, so that one more service is one more line in `_routes`.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.emulators.azure_arm import ResourceManager, Settings
from tests.emulators.azure_resources import Resources
from tests.emulators.azure_vault import RESOURCE as VAULT
from tests.emulators.azure_vault import KeyVault
from tests.emulators.azure_world import SUBSCRIPTION, Row, World, small_world
from tests.emulators.computer import Computer
from tests.emulators.ledger import Ledger
from tests.emulators.server import Answer, Emulator, Fault, Request, Response

TOKEN = "a-token-of-the-emulator"
PRICES = "/api/retail/prices"
SKUS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/skus"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"
LOGIN = "/metadata/identity/oauth2/token"


_EQUALS = re.compile(r"(\w+) eq '((?:[^']|'')*)'")
_CONTAINS = re.compile(r"contains\((\w+), ?'((?:[^']|'')*)'\)")


class Instead(Fault):
    """A call that is refused and not done; a plain fault is done first, and then answered wrong."""


class AzureEmulator(Emulator):
    """All regions of `world`. A call is named, e.g., 'spot eastus', 'prices eastus', 'regions Standard_D2s_v5',
    'skus eastus', 'graph', 'login', 'virtualMachines.put sw-1', 'secrets.get spotwave-sw', 'operations.get'.

    boots: whether machines run their user data; folder: where they live, a temporary one if None.
    """

    def __init__(
        self, world: World | None = None, latency_s: float = 0.0, *, boots: bool = True, folder: Path | None = None
    ) -> None:
        super().__init__(latency_s)
        self.world = world or small_world()
        self.ledger = Ledger()
        self.reach: set[int] = set()
        self.folder = folder
        self.settings = Settings()
        self.resources = Resources(self.world, self.ledger, boots)
        self.resources.reach = lambda: {*self.reach, int(self.url.rpartition(":")[2])}
        self.vault = KeyVault(self.ledger, lambda token: self.resources.machine_with(token, VAULT) is not None)
        self.arm = ResourceManager(self.resources, self.settings)
        self._instead: list[Fault] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.elsewhere: str | None = None  #: another host that links lead to
        self._items = cache(self._chosen)
        self._skus = cache(self._sku_pages)
        self._rows = cache(self._graph_rows)
        self._routes: list[tuple[str, Callable[[Request], Response]]] = [
            (PRICES, self._prices),
            (LOGIN, self._login),
            (GRAPH, self._graph),
            (SKUS, self._resource_skus),
        ]

    def warm(self, spot: bool = True, slow: bool = True) -> None:
        """Render the long answers now, so that a benchmark measures the client alone."""
        for region in self.world.regions:
            asked = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
            if spot:
                self._items(f"{asked} and contains(skuName, 'Spot')")
            if slow:
                self._items(asked)
                self._skus(region)

    def name_of(self, request: Request) -> str:
        return name_of(request)

    def __enter__(self) -> Self:
        if self.folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="azure-", ignore_cleanup_errors=True)
            self.folder = Path(self._temporary.name)
        self.resources.folder = self.folder
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resources.close()
        super().__exit__(kind, error, trace)
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def exhausted(self) -> set[tuple[str, str]]:
        """(size, zone; or region for a regional offer): launching there fails for capacity, after a good start."""
        return self.resources.exhausted

    @property
    def computers(self) -> dict[str, Computer]:
        return self.resources.computers

    @property
    def secrets(self) -> dict[str, str]:
        return {name: secret.value for name, secret in self.vault.living.items()}

    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """The cloud takes it back; returns at once."""
        self.resources.interrupt(machine_id, notice_s)

    def fail(self, fault: Fault) -> None:
        (self._instead if isinstance(fault, Instead) else self._faults).append(fault)

    def heal(self) -> None:
        super().heal()
        self._instead.clear()

    def answer(self, request: Request) -> Response:
        with self._lock:
            instead = next((one for one in self._instead if one.times > 0 and one.meets(request)), None)
            if instead is not None:
                instead.times -= 1
        if instead is not None:
            return instead.answer(request, Response(b"{}"))
        for path, route in self._routes:
            if request.path == path:
                return route(request)
        if request.path.startswith(("/secrets", "/deletedsecrets")):
            return self.vault.answer(request, _has_token(request))
        if re.match(r"/subscriptions/", request.path) and not f"{request.path}/".startswith(
            f"/subscriptions/{SUBSCRIPTION}/"
        ):
            return refusal(404, "SubscriptionNotFound")
        if request.path.startswith("/subscriptions/"):
            return self.arm.answer(request, _has_token(request))
        return refusal(404, "ResourceNotFound")

    def _prices(self, request: Request) -> Response:
        if request.query.get("api-version") != "2023-01-01-preview":
            return Response(b'{"Error":{"Code":"400"}}', 400)
        asked, skip = request.query.get("$filter", ""), int(request.query.get("$skip", "0"))
        pages = self._items(asked)
        size = self.world.items_a_page
        body, number = pages[min(skip // size, len(pages) - 1)]
        link = "null"
        if skip // size < len(pages) - 1:
            host = self.elsewhere or request.url
            where = f"api-version=2023-01-01-preview&$filter={quote(asked, safe='')}&$skip={skip + size}"
            link = f'"{host}{PRICES}?{where}"'
        head = b'{"BillingCurrency":"USD","CustomerEntityId":"Default","CustomerEntityType":"Retail","Items":'
        return Response(head + body + f',"NextPageLink":{link},"Count":{number}}}'.encode())

    def _chosen(self, asked: str) -> list[tuple[bytes, int]]:
        """The pages of the items that meet a filter: (a JSON list, how many). Case counts, as in the real service."""
        equal = {"type" if name == "priceType" else name: value for name, value in _EQUALS.findall(asked)}
        within = _CONTAINS.findall(asked)
        left = re.sub(r"\s|\band\b", "", _CONTAINS.sub("", _EQUALS.sub("", asked)))
        assert not left, f"the emulator does not know what '{left}' means in a filter"
        region = equal.get("armRegionName")
        rows = [
            row
            for place in ([region] if region else self.world.regions)
            for row in self.world.items.get(place, [])
            if all(row.get(name) == value for name, value in equal.items())
            and all(value in row[name] for name, value in within)
        ]
        size = self.world.items_a_page
        parts = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
        return [(json.dumps(part, separators=(",", ":")).encode(), len(part)) for part in parts]

    def _login(self, request: Request) -> Response:
        if request.headers.get("metadata") != "true":
            return refusal(400, "invalid_request")
        token = {
            "access_token": TOKEN,
            "expires_in": "3599",
            "resource": request.query.get("resource"),
            "token_type": "Bearer",
        }
        return Response(json.dumps(token).encode())

    def _resource_skus(self, request: Request) -> Response:
        if not _has_token(request):
            return refusal(401, "AuthenticationFailed")
        asked, skip = request.query.get("$filter", ""), int(request.query.get("$skiptoken", "0"))
        pages = self._skus(dict(_EQUALS.findall(asked)).get("location", ""))
        link = ""
        if skip < len(pages) - 1:
            host = self.elsewhere or request.url
            where = f"api-version=2021-07-01&$filter={quote(asked, safe='')}&$skiptoken={skip + 1}"
            link = f',"nextLink":"{host}{SKUS}?{where}"'
        return Response(b'{"value":' + pages[skip] + link.encode() + b"}")

    def _sku_pages(self, region: str) -> list[bytes]:
        rows, size = self.world.skus.get(region, []), self.world.skus_a_page
        parts = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
        return [json.dumps(part, separators=(",", ":")).encode() for part in parts]

    def _graph(self, request: Request) -> Response:
        if not _has_token(request):
            return refusal(401, "AuthenticationFailed")
        asked = json.loads(request.body)
        options = asked.get("options") or {}
        of_changes = asked["query"].startswith("resourcechanges")
        rows = self.resources.changes.rows(asked["query"]) if of_changes else self._rows(asked["query"])
        start, size = int(options.get("$skipToken") or 0), min(options.get("$top", 100), self.world.rows_a_page)
        page = rows[start : start + size]
        found = {"totalRecords": len(rows), "count": len(page), "data": page, "facets": [], "resultTruncated": "false"}
        if start + size < len(rows):
            found["$skipToken"] = str(start + size)
        return Response(json.dumps(found).encode())

    def _graph_rows(self, query: str) -> list[Row]:
        """What the wing asks of SpotResources: its eviction rates, one by one or gathered by place and rate."""
        steps = [" ".join(step.split()) for step in query.split("|")]
        assert steps[0] == "SpotResources", query
        if "type =~ 'microsoft.compute/skuspotevictionrate/location'" not in steps[1]:
            return []
        if not steps[2].startswith("summarize sizes=make_list(tostring(sku.name)) by location, rate="):
            return [{"skuName": size, "location": place, "rate": rate} for size, place, rate in self.world.evictions]
        gathered: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for size, place, rate in self.world.evictions:
            gathered[place, rate].append(size)
        return [{"location": place, "rate": rate, "sizes": sizes} for (place, rate), sizes in gathered.items()]


def _has_token(request: Request) -> bool:
    return request.headers.get("authorization") == f"Bearer {TOKEN}"


def refusal(
    status: int, code: str, headers: dict[str, str] | None = None, message: str = "The message of the service"
) -> Response:
    """An error as Azure Resource Manager words it."""
    error: dict[str, Any] = {"error": {"code": code, "message": message}}
    return Response(json.dumps(error).encode(), status, headers=headers or {})


def name_of(request: Request) -> str:
    """The call in the words of `AzureEmulator`."""
    asked = request.query.get("$filter", "")
    if request.path == PRICES:
        equal = dict(_EQUALS.findall(asked))
        if "armSkuName" in equal:
            return f"regions {equal['armSkuName']}"
        return f"{'spot' if _CONTAINS.search(asked) else 'prices'} {equal.get('armRegionName', '')}"
    if request.path == SKUS:
        return f"skus {dict(_EQUALS.findall(asked)).get('location', '')}"
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
    """Picks calls by a name of `AzureEmulator.name_of` or its first word, for `Fault.meets`."""
    return lambda request: name in (name_of(request), name_of(request).partition(" ")[0])


def fault(name: str, answer: Answer, times: int = 10**9) -> Fault:
    return Fault(calls_of(name), answer, times)


def instead(name: str, answer: Answer, times: int = 10**9) -> Instead:
    """A fault whose call is not done."""
    return Instead(calls_of(name), answer, times)


def throttled(retry_after_s: int = 1) -> Answer:
    headers = {"Retry-After": str(retry_after_s)}

    def answer(request: Request, said: Response) -> Response:
        if request.path == PRICES:
            return Response(b'{"Error":{"Code":"429","Message":"Too many requests."}}', 429, headers=headers)
        return refusal(429, "TooManyRequests", headers)

    return answer


def server_error() -> Answer:
    return lambda request, said: refusal(500, "InternalServerError")


def refused(status: int, code: str, message: str = "The message of the service") -> Answer:
    """Any of the service's own errors, e.g. 403 AuthorizationFailed."""
    return lambda request, said: refusal(status, code, message=message)


def empty() -> Answer:
    """A good answer that lists nothing."""

    def nothing(request: Request, said: Response) -> Response:
        if request.path == PRICES:
            return Response(b'{"BillingCurrency":"USD","Items":[],"NextPageLink":null,"Count":0}')
        if request.path == GRAPH:
            return Response(b'{"totalRecords":0,"count":0,"data":[],"facets":[],"resultTruncated":"false"}')
        return Response(b'{"value":[]}')

    return nothing
