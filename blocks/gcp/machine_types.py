"""Machine types of every zone, as Compute Engine lists them for a project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import polars as pl
from google.api_core.exceptions import BadRequest

from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.concurrent import OnProgress
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.gcp.clients import FAILURES, Clients, why

TYPES: dict[str, pl.DataType] = {
    "instance_type": pl.String(),
    "zone": pl.String(),
    "region": pl.String(),
    "vcpus": pl.Int32(),
    "memory_gib": pl.Float64(),
    "burstable": pl.Boolean(),
    "architecture": pl.String(),  #: as in the API, empty if not given
    "accelerator": pl.String(),  #: null: none
    "accelerators": pl.Int32(),
    "ssd_partitions": pl.Int32(),  #: local SSDs bundled with the type
}
_READ = list(TYPES)
_READ.remove("region")

PATIENCE_S = 45.0  #: time limit of one page including retries; the SDK's default is ten minutes
_PAGE = 500  # the API's maximum
# A quarter of the full row (system parameter $fields of Google's APIs).
FIELDS = (
    "items/*/warning/code,"
    "items/*/machineTypes(name,guestCpus,memoryMb,isSharedCpu,architecture,accelerators,bundledLocalSsds,deprecated/state),"
    "nextPageToken"
)
_NOTHING_HERE = "NO_RESULTS_ON_PAGE"
Row = tuple[Any, ...]


def read_catalogue(clients: Clients, wanted: list[str], tell: OnProgress) -> Catalogue:
    """Return the table 'machine_types', one row per type and zone with the columns of `TYPES`, for the wanted regions
    or all.

    An incomplete list is kept and noted in `missing`. Raises MarketUnavailable if nothing was received.
    """
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    missing: dict[str, str] = {}
    pages = 0
    try:
        for page in _pages(clients):
            for scope, listed in page.items.items():
                place = scope.rpartition("/")[2]
                if listed.warning.code not in ("", _NOTHING_HERE):
                    missing[place] = f"Compute Engine warns: {listed.warning.code}"
                rows += _rows(place, listed.machine_types, dropped)
            pages += 1
            tell(pages, pages + bool(page.next_page_token))
    except FAILURES as error:
        if not rows:
            raise MarketUnavailable(f"gcp: no machine types are listed: {why(error)}") from error
        missing["machine types"] = f"the list is cut off after page {pages}: {why(error)}"
    types = _table(rows)
    known = set(types["region"].unique())
    missing |= {region: "no machine types there; check its name" for region in wanted if region not in known}
    types = types.filter(pl.col("region").is_in(wanted)) if wanted else types
    if types.is_empty():
        raise MarketUnavailable(f"gcp: no machine types are listed for the project {clients.project}; check its id")
    return Catalogue(tables={"machine_types": types}, dropped=dict(dropped), missing=missing)


def _table(rows: list[Row]) -> pl.DataFrame:
    columns = dict(zip(_READ, zip(*rows, strict=True), strict=True)) if rows else {name: () for name in _READ}
    read = pl.DataFrame(columns, {name: TYPES[name] for name in _READ}, strict=False)
    # A page that was requested twice would count its rows twice.
    read = read.unique(["instance_type", "zone"], keep="first").sort("zone", "instance_type")
    return read.with_columns(region=pl.col("zone").str.replace("-[a-z]+$", "")).select(list(TYPES))


def _rows(zone: str, types: Any, dropped: Counter[str]) -> Iterator[Row]:
    for one in types:
        # DEPRECATED, OBSOLETE or DELETED: not available for new machines, now or soon.
        if one.deprecated.state not in ("", "ACTIVE"):
            dropped["deprecated machine type"] += 1
            continue
        gpus = one.accelerators
        yield (
            one.name,
            zone,
            one.guest_cpus,
            one.memory_mb / 1024,  # in MiB, despite the name
            one.is_shared_cpu,
            one.architecture,
            gpus[0].guest_accelerator_type if gpus else None,
            sum(gpu.guest_accelerator_count for gpu in gpus),
            one.bundled_local_ssds.partition_count,
        )


def _pages(clients: Clients) -> Iterator[Any]:
    """Yield pages of machineTypes.aggregatedList as raw protobuf messages: the SDK's own are 20 times slower."""
    try:
        yield from _asked(clients, [("x-goog-fieldmask", FIELDS)])
    except BadRequest:
        # The mask only improves speed.
        yield from _asked(clients, [])


def _asked(clients: Clients, metadata: list[tuple[str, str]]) -> Iterator[Any]:
    from google.cloud.compute_v1 import AggregatedListMachineTypesRequest

    request = AggregatedListMachineTypesRequest(project=clients.project, max_results=_PAGE)
    for page in clients.machine_types.aggregated_list(request, metadata=metadata, **clients.call(PATIENCE_S)).pages:
        yield type(page).pb(page)
