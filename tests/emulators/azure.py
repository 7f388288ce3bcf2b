"""Emulator of Azure for its SDK and its public price list: Retail Prices, Resource Manager, Resource Graph, Key Vault,
and IMDS tokens of the launcher.

One server serves all of them. Requests are dispatched by path, see `_routes`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from tests.emulators.azure_account import Settings
from tests.emulators.azure_arm import ResourceManager
from tests.emulators.azure_faults import (
    CONTAINS,
    EQUALS,
    GRAPH,
    LOGIN,
    PRICES,
    SKUS,
    empty,
    fault,
    instead,
    name_of,
    refusal,
    refused,
    server_error,
    throttled,
)
from tests.emulators.azure_resources import Resources
from tests.emulators.azure_vault import RESOURCE as VAULT
from tests.emulators.azure_vault import KeyVault
from tests.emulators.azure_world import SUBSCRIPTION, Row, World, small_world
from tests.emulators.emulated_cloud import EmulatedCloud
from tests.emulators.server import Request, Response

TOKEN = "a-token-of-the-emulator"
__all__ = ["AzureEmulator", "empty", "fault", "instead", "refusal", "refused", "server_error", "throttled"]


class AzureEmulator(EmulatedCloud):
    """All regions of `world`. Names of calls: 'spot eastus', 'prices eastus', 'regions Standard_D2s_v5',
    'skus eastus', 'graph', 'login', 'virtualMachines.put sw-1', 'secrets.get spotwave-sw', 'operations.get'.

    boots: whether machines run their user data; folder: folder of the machines, a temporary one if None.
    """

    def __init__(
        self, world: World | None = None, latency_s: float = 0.0, *, boots: bool = True, folder: Path | None = None
    ) -> None:
        self.world = world or small_world()
        self.settings = Settings()
        self.resources = Resources(self.world, boots, folder)
        super().__init__(latency_s, self.resources)
        self.vault = KeyVault(self.ledger, lambda token: self.resources.machine_with(token, VAULT) is not None)
        self.arm = ResourceManager(self.resources, self.settings)
        self.elsewhere: str | None = None  #: another host for the links
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
        """Render the long answers in advance, so that a benchmark only measures the client."""
        for region in self.world.regions:
            asked = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
            if spot:
                self._items(f"{asked} and contains(skuName, 'Spot')")
            if slow:
                self._items(asked)
                self._skus(region)

    def name_of(self, request: Request) -> str:
        return name_of(request)

    @property
    def secrets(self) -> dict[str, str]:
        return {name: secret.value for name, secret in self.vault.living.items()}

    def answer(self, request: Request) -> Response:
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
        """Return the pages of items that match a filter: (JSON list, number). Case-sensitive, as in reality."""
        equal = {"type" if name == "priceType" else name: value for name, value in EQUALS.findall(asked)}
        within = CONTAINS.findall(asked)
        left = re.sub(r"\s|\band\b", "", CONTAINS.sub("", EQUALS.sub("", asked)))
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
        pages = self._skus(dict(EQUALS.findall(asked)).get("location", ""))
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
        """Answer the SpotResources query: its eviction rates, one per row or grouped by place and rate."""
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
