"""Store of market snapshots and of what past jobs measured: Parquet and JSON files in a folder or a bucket.

    <url>/prices/v1/date=2026-11-21/cloud=aws/030012Z.parquet    offers as in blocks.market.SCHEMA, one row per offer
    <url>/catalogues/v2/aws-<fingerprint>/...                    types and list prices, replaced once a day
    <url>/runs/v1/<job key>.json                                 what a finished job measured
    <url>/losses/v1/2026-11-21/<name>.json                       a pool that refused or lost a machine

A snapshot is never overwritten: a new one is a new file. Its key-value metadata (key `spotwave`, JSON) holds the
dropped and missing rows, and the seconds it took. `v1` is the schema's version: columns may be added within it (older
files read as null there), never renamed or redefined; that would be v2. Catalogues are only kept for a day, so a change
of their tables changes the version, and they are read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import polars as pl
from prefect.blocks.core import Block
from prefect.blocks.fields import SecretDict
from pydantic import ConfigDict, Field

from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.home import absolute, home
from spotwave.blocks.market import SCHEMA, Market
from spotwave.blocks.store_files import StoreFiles
from spotwave.blocks.store_files import StoreUnavailable as StoreUnavailable
from spotwave.node.untrusted.strict_json import BadJson, load_object

VERSION = "v1"
CATALOGUES = "v2"  #: version of the providers' own tables; increment it when their columns or meanings change
MOST_NOTES = 50_000  #: read at once: 10 s on a local disk
_METADATA = "spotwave"
_NOTE_BYTES = 8 << 20  # upper bound, set by a catalogue's document: it lists what is missing, by place


@dataclass(frozen=True, order=True)
class Snapshot:
    """One cloud's market at one point in time."""

    taken_at: datetime
    cloud: str
    path: str


class SnapshotStore(Block):
    """
    Where market snapshots are kept: a folder, or a bucket of any object store that fsspec supports.

    The deployment `prices/nightly` adds one for every cloud each night; jobs read the measurements of earlier jobs.

    Example:
        A bucket, and all prices of the last week as one polars frame:
        ```python
        from datetime import date, timedelta

        from spotwave.blocks.snapshots import SnapshotStore

        store = SnapshotStore(url="s3://my-bucket/spotwave", options={"key": "...", "secret": "..."})
        store.save("bucket")
        week = store.frame(since=date.today() - timedelta(days=7))
        ```
    """

    _block_type_name = "Snapshot Store"
    _block_type_slug = "snapshot-store"
    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(
        default_factory=lambda: str(home() / "store"),
        title="Place",
        description="A folder ('~' and relative paths are made absolute when used), or an address such as "
        "'s3://bucket/folder', 'gs://bucket/folder', 'abfs://container/folder'. Default: 'store' in Spotwave's home.",
    )
    options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="Options",
        description="What fsspec needs to open it, as JSON: {'key': ..., 'secret': ..., 'endpoint_url': ...} for s3. "
        "Empty: a folder, or the credentials that the environment already has.",
    )

    @property
    def _files(self) -> StoreFiles:
        place = self.url if "://" in self.url else str(absolute(self.url))
        return StoreFiles(self.url, place, self.options.get_secret_value())

    def publish(self, cloud: str, market: Market, facts: dict[str, Any], taken_at: datetime | None = None) -> Snapshot:
        """Add a snapshot: write it under a temporary name, read it back, compare, then rename.

        facts: kept as JSON metadata, with the market's `dropped` and `missing` added. Raises StoreUnavailable.
        """
        taken = (taken_at or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        folder = f"prices/{VERSION}/date={taken:%Y-%m-%d}/cloud={cloud}"
        content = BytesIO()
        metadata = json.dumps({"dropped": market.dropped, "missing": market.missing, **facts})
        market.frame.sort("region", "instance_type", "zone").write_parquet(content, metadata={_METADATA: metadata})
        return Snapshot(taken, cloud, self._files.write(f"{folder}/{taken:%H%M%S}Z.parquet", content.getvalue()))

    def snapshots(
        self, clouds: Iterable[str] | None = None, since: date | None = None, until: date | None = None
    ) -> list[Snapshot]:
        """Return all snapshots, oldest first; dates are UTC and inclusive. Raises StoreUnavailable."""
        days = self._days(since, until)
        wanted = None if clouds is None else set(clouds)
        found = [_parsed(path) for day in days for path in self._files.list(f"prices/{VERSION}/{day}", ".parquet")]
        return sorted(one for one in found if one is not None and (wanted is None or one.cloud in wanted))

    def latest(self, cloud: str, before: datetime | None = None) -> Snapshot | None:
        """Return the newest snapshot of a cloud (taken before a time), or None. Raises StoreUnavailable."""
        # Day by day from the newest, so that a year of nights is not listed to find yesterday's.
        for day in reversed(self._days(None, None if before is None else before.date())):
            names = self._files.list(f"prices/{VERSION}/{day}/cloud={cloud}", ".parquet")
            found = [one for one in map(_parsed, names) if one is not None]
            if matching := [one for one in found if before is None or one.taken_at < before]:
                return max(matching)
        return None

    def clouds(self) -> list[str]:
        """Return every cloud that has a snapshot. Raises StoreUnavailable."""
        return sorted({one.cloud for one in self.snapshots()})

    def read(self, snapshot: Snapshot) -> Market:
        """Return the market of a snapshot. Raises StoreUnavailable."""
        content = self._files.read(snapshot.path)
        facts = self._facts(content)
        frame = _as_schema(pl.read_parquet(BytesIO(content)))
        return Market(frame, facts.get("dropped"), facts.get("missing"))

    def facts(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the metadata that was published with a snapshot. Raises StoreUnavailable."""
        return self._facts(self._files.read(snapshot.path))

    def frame(
        self,
        clouds: Iterable[str] | None = None,
        since: date | None = None,
        until: date | None = None,
        pools: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """Return all snapshots as one frame: the columns of SCHEMA, and `taken_at` (UTC). Raises StoreUnavailable.

        pools: keep only offers that match a row of it in all its columns; a month of whole markets is millions of rows.
        """

        def part(one: Snapshot) -> pl.DataFrame:
            found = self.read(one).frame
            if pools is not None:
                found = found.join(pools, on=pools.columns, how="semi", nulls_equal=True)
            return found.with_columns(taken_at=pl.lit(one.taken_at, dtype=pl.Datetime("us", "UTC")))

        parts = [part(one) for one in self.snapshots(clouds, since, until)]
        empty = pl.DataFrame(schema={**SCHEMA, "taken_at": pl.Datetime("us", "UTC")})
        return pl.concat([empty, *parts])

    def keep_catalogue(self, name: str, catalogue: Catalogue, taken_at: datetime) -> None:
        """Save a cloud's catalogue under a name, replacing an earlier one. Raises StoreUnavailable."""
        folder = f"catalogues/{CATALOGUES}/{name}"
        for table, frame in catalogue.tables.items():
            content = BytesIO()
            frame.write_parquet(content)
            self._files.write(f"{folder}/{taken_at:%Y%m%dT%H%M%SZ}-{table}.parquet", content.getvalue())
        before = self._files.list(folder, ".parquet")
        fields = {"taken_at": taken_at.isoformat(), "tables": list(catalogue.tables)}
        # Written last, since `catalogue` looks for this note: an interrupted write leaves no catalogue.
        self.note(folder, "catalogue", {**fields, "dropped": catalogue.dropped, "missing": catalogue.missing})
        for path in before:
            if f"/{taken_at:%Y%m%dT%H%M%SZ}-" not in path:
                self._files.remove(path)

    def catalogue(self, name: str) -> tuple[datetime, Catalogue] | None:
        """Return a saved catalogue and the time it was read, or None. Raises StoreUnavailable."""
        folder = f"catalogues/{CATALOGUES}/{name}"
        found = self.notes(folder)
        if not found:
            return None
        note, files = found[0], self._files
        taken_at = datetime.fromisoformat(note["taken_at"])
        tables = {
            table: pl.read_parquet(
                BytesIO(files.read(f"{files.root}/{folder}/{taken_at:%Y%m%dT%H%M%SZ}-{table}.parquet"))
            )
            for table in note["tables"]
        }
        return taken_at, Catalogue(tables, note["dropped"], note["missing"])

    def note(self, folder: str, name: str, fields: dict[str, Any]) -> None:
        """Save a small JSON document, e.g. note("runs", job key, {...}), replacing one of the same name.

        Raises StoreUnavailable.
        """
        self._files.write(f"{folder}/{name}.json", json.dumps(fields).encode())

    def notes(self, folder: str, unreadable: Callable[[str], object] | None = None) -> list[dict[str, Any]]:
        """Return all documents of a folder, sorted by name. A document that is not a JSON object of finite numbers is
        left out and reported to `unreadable`, if given. Raises StoreUnavailable, also for an implausible number of
        documents."""
        files = self._files
        paths = files.list(folder, ".json")
        if len(paths) > MOST_NOTES:
            raise StoreUnavailable(
                f"url: {folder} in {self.url} holds {len(paths)} documents, and at most {MOST_NOTES} are read. "
                "Move away those that Spotwave has not written."
            )
        found = []
        for path in paths:
            try:
                found.append(load_object(files.read(path), _NOTE_BYTES))
            except BadJson as error:
                message = (
                    f"url: {PurePosixPath(path).name} in {folder} of {self.url} cannot be read: {error}. Remove it."
                )
                if unreadable is None:
                    raise StoreUnavailable(message) from error
                unreadable(message)
        return found

    def _days(self, since: date | None, until: date | None) -> list[str]:
        """Return the folder names date=..., oldest first."""
        earliest = f"date={since:%Y-%m-%d}" if since else ""
        latest = f"date={until:%Y-%m-%d}" if until else "date=~"
        names = {PurePosixPath(path).name for path in self._files.list(f"prices/{VERSION}", "")}
        return sorted(name for name in names if name.startswith("date=") and earliest <= name <= latest)

    @staticmethod
    def _facts(content: bytes) -> dict[str, Any]:
        found = json.loads(pl.read_parquet_metadata(BytesIO(content)).get(_METADATA, "{}"))
        assert isinstance(found, dict)
        return found


def _parsed(path: str) -> Snapshot | None:
    """Return the snapshot at a path, None if the file is not a snapshot."""
    day, cloud, name = PurePosixPath(path).parts[-3:]
    try:
        taken = datetime.strptime(f"{day} {name}", "date=%Y-%m-%d %H%M%SZ.parquet").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Snapshot(taken, cloud.removeprefix("cloud="), path)


def _as_schema(frame: pl.DataFrame) -> pl.DataFrame:
    """Cast to SCHEMA: columns that an older file lacks are null; additional columns of a newer one are dropped."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kept).alias(name)
        for name, kept in SCHEMA.items()
    )


def yesterday(now: datetime) -> datetime:
    """Return the time that 'since yesterday' compares with: the start of this UTC day, so that two runs of one day are
    not compared with each other."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_ago(now: datetime, days: int) -> date:
    return (now.astimezone(UTC) - timedelta(days=days)).date()
