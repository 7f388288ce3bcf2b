"""Emulator of Google's services for their SDKs: Compute Engine's REST API, Cloud Billing's price list, Secret Manager.

Requests are dispatched by their route to methods. Launched instances boot, see gcp_compute.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from spotwave.blocks.gcp import billing, machine_types
from tests.emulators import gcp_account
from tests.emulators.emulated_cloud import EmulatedCloud
from tests.emulators.gcp_answers import error
from tests.emulators.gcp_compute import Compute
from tests.emulators.gcp_faults import empty, fault, refused, server_error, throttled, throttled_as_forbidden
from tests.emulators.gcp_life import Broken
from tests.emulators.gcp_masks import masked
from tests.emulators.gcp_routes import (
    ACCESS,
    ACCOUNT_PERMISSIONS,
    ADD_VERSION,
    BULK_INSERT,
    CREATE_SECRET,
    DELETE,
    DELETE_DISK,
    DELETE_SECRET,
    DISKS,
    FOR_MACHINES,
    GET,
    HISTORY,
    IMAGE,
    INSERT,
    INSTANCES,
    LIST_SECRETS,
    MACHINE_TYPES,
    NETWORK,
    OPERATIONS,
    PERMISSIONS,
    PROJECT,
    REGIONS,
    SERVICES,
    SIMULATE,
    SKUS,
    WAIT,
    route,
)
from tests.emulators.gcp_secrets import Secrets
from tests.emulators.gcp_world import World, small_world
from tests.emulators.server import Fault, Request, Response

__all__ = ["GcpEmulator", "empty", "fault", "refused", "server_error", "throttled", "throttled_as_forbidden"]

_MOST_TYPES, _MOST_SKUS = 500, 5000  # per page


class GcpEmulator(EmulatedCloud):
    """The project of `world`.

    Names of calls: 'machineTypes page-3', 'skus', 'capacityHistory us-central1-a n2-standard-4',
    'insert us-central1-a', 'get us-central1-a NAME'. `compute.inserts` has the insertions; without `boots` nothing
    runs.
    """

    def __init__(
        self, world: World | None = None, latency_s: float = 0.0, *, boots: bool = True, folder: Path | None = None
    ) -> None:
        self.world = world or small_world()
        self.compute = Compute(self.world, boots=boots, folder=folder)
        super().__init__(latency_s, self.compute)
        self.vault = Secrets(self.world, self.ledger)
        self.most_types = _MOST_TYPES  #: per page, whatever page size is requested
        self.most_skus = _MOST_SKUS
        self.refuses_masks = False
        self._type_pages = cache(self._read_type_pages)
        self._sku_pages = cache(self._read_sku_pages)
        self._prices = {MACHINE_TYPES: self._list_types, SKUS: self._list_skus, HISTORY: self._history}

    @property
    def without_quota(self) -> set[str]:
        """Regions in which no machine can be added."""
        return self.compute.without_quota

    @property
    def secrets(self) -> dict[str, str]:
        """The newest version of each existing secret, by name."""
        return {name: one.versions[-1].decode() for name, one in self.vault.living.items() if one.versions}

    def refuse(self, kind: str, said: Response, times: int = 10**9) -> Fault:
        """Answer calls of that kind without executing them; `fail` replaces the answers of executed calls."""
        one = fault(kind, lambda request, _: said, times=times)
        one.instead = True
        self.fail(one)
        return one

    def break_insert(self, code: str, message: str = "The message of the service", times: int = 1) -> None:
        """Accept insertions, but let their operations fail."""
        self.compute.broken.append(Broken(code, message, times))

    def heal(self) -> None:
        super().heal()
        self.compute.broken.clear()

    def warm(self) -> None:
        """Render the client's pages in advance, so that a benchmark only measures the client."""
        self._type_pages(self.most_types, machine_types.FIELDS)
        self._sku_pages(self.most_skus, billing.FIELDS)

    def name_of(self, request: Request) -> str:
        kind, found = route(request)
        if kind == HISTORY:
            return " ".join((HISTORY, *_pool(request)))
        where = (found.get("zone", ""), found.get("name", ""), request.query.get("pageToken", ""))
        return " ".join(word for word in (kind, *where) if word)

    def answer(self, request: Request) -> Response:
        kind, found = route(request)
        if (unknown := self._unknown(kind, request)) is not None:
            return unknown
        if found.get("project", self.world.project) != self.world.project:
            return error(404, "notFound", "The resource 'projects/...' was not found")
        mask = request.headers.get("x-goog-fieldmask") or request.query.get("fields", "")
        if mask and self.refuses_masks:
            return error(400, "invalidParameter", f"Invalid field selection {mask}")
        if kind in self._prices:
            return self._prices[kind](request, mask)
        serve = self._serves(request, found.get("zone", ""), found.get("name", "")).get(kind)
        return serve() if serve else error(404, "notFound", f"Not found: {request.path}")

    def _unknown(self, kind: str, request: Request) -> Response | None:
        """Return the error for a caller without permission."""
        token = request.headers.get("authorization", "")
        if not token.startswith("Bearer "):
            return error(401, "required", "Request is missing required authentication credential.")
        if gcp_account.is_launcher(request, SERVICES.get(kind, "compute")):
            return error(403, "forbidden", "The launcher's role does not allow it") if kind == ACCESS else None
        if self.compute.living(token.removeprefix("Bearer ")) is None:
            return error(401, "authError", "Request had invalid authentication credentials.")
        if kind not in FOR_MACHINES:
            return error(403, "forbidden", "The machine's role does not allow it")
        return None

    def _serves(self, request: Request, zone: str, name: str) -> dict[str, Callable[[], Response]]:
        compute, vault, world = self.compute, self.vault, self.world
        return {
            INSERT: lambda: compute.insert(request, zone),
            BULK_INSERT: lambda: compute.bulk_insert(request, zone),
            GET: lambda: compute.get(zone, name),
            DELETE: lambda: compute.delete(zone, name),
            SIMULATE: lambda: compute.simulate_maintenance(zone, name),
            INSTANCES: lambda: compute.list_instances(request),
            DISKS: lambda: compute.list_disks(request),
            DELETE_DISK: lambda: compute.delete_disk(zone, name),
            WAIT: lambda: compute.operations.wait(name),
            OPERATIONS: lambda: compute.operations.list(request, zone),
            PROJECT: lambda: gcp_account.project(world),
            REGIONS: lambda: gcp_account.regions(world),
            NETWORK: lambda: gcp_account.network(name),
            IMAGE: lambda: gcp_account.image(name),
            CREATE_SECRET: lambda: vault.create(request),
            LIST_SECRETS: lambda: vault.list(request),
            ADD_VERSION: lambda: vault.add_version(request, name),
            ACCESS: lambda: vault.access(name),
            DELETE_SECRET: lambda: vault.delete(name),
            PERMISSIONS: lambda: gcp_account.permissions(world, request),
            ACCOUNT_PERMISSIONS: lambda: gcp_account.account_permissions(world, name, request),
        }

    def _list_types(self, request: Request, mask: str) -> Response:
        size = min(int(request.query.get("maxResults", "500")), self.most_types)
        return _page(self._type_pages(size, mask), request)

    def _list_skus(self, request: Request, mask: str) -> Response:
        size = min(int(request.query.get("pageSize", "5000")), self.most_skus)
        if request.query.get("currencyCode", "USD") != "USD":
            return error(400, "badRequest", "this emulator has US dollars only")
        return _page(self._sku_pages(size, mask), request)

    def _history(self, request: Request, mask: str) -> Response:
        """Return at most 30 days of preemption rates; 404 for a pool without history."""
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
        """Return the pages. Each lists every scope, with a warning if it has no rows on the page; scopes can span
        pages."""
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
            pages.append(masked(page, mask))
        return pages

    def _read_sku_pages(self, size: int, mask: str) -> list[bytes]:
        skus = self.world.skus
        starts = range(0, max(len(skus), 1), size)
        return [
            masked(
                {
                    "skus": skus[start : start + size],
                    "nextPageToken": f"page-{number}" if number < len(starts) else "",
                },
                mask,
            )
            for number, start in enumerate(starts, start=1)
        ]


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


def _pool(request: Request) -> tuple[str, str]:
    """Return (zone, machine type) of a capacity request."""
    asked = json.loads(request.body)
    return asked["locationPolicy"]["location"].removeprefix("zones/"), asked["instanceProperties"]["machineType"]
