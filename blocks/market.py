"""Table of offers, and the function that decides which offers are eligible and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl

from spotwave.blocks.models import Offer, Requirements

SCHEMA: dict[str, pl.DataType] = {
    "cloud": pl.String(),
    "instance_type": pl.String(),
    "region": pl.String(),
    "zone": pl.String(),
    "zone_id": pl.String(),
    "family": pl.String(),
    "vcpus": pl.Int32(),
    "cores": pl.Float64(),
    "memory_gib": pl.Float64(),
    "architecture": pl.String(),
    "gpu": pl.String(),
    "gpu_count": pl.Float64(),
    "gpu_memory_gib": pl.Float64(),
    "spot_usd_h": pl.Float64(),
    "on_demand_usd_h": pl.Float64(),
    "interruption": pl.String(),
    "interruptions_per_h": pl.Float64(),
    "interruption_basis": pl.String(),
    "notice_s": pl.Float64(),
    "burstable": pl.Boolean(),
    "bare_metal": pl.Boolean(),
    "boot_s": pl.Float64(),
    "disk_usd_gib_month": pl.Float64(),
    "ip_usd_h": pl.Float64(),
    "egress_usd_gib": pl.Float64(),
    "seen_at": pl.Datetime("us", "UTC"),
}


class Market:
    """Offers as a polars frame with the columns of `SCHEMA`, one row per offer, plus what is missing from it.

    dropped: number of rows left out, by reason, e.g. {"aws: price of zero or less": 3}.
    missing: places that could not be read and why, e.g. {"aws eu-south-2": "not enabled for this account"}.
    """

    def __init__(
        self, frame: pl.DataFrame, dropped: Mapping[str, int] | None = None, missing: Mapping[str, str] | None = None
    ) -> None:
        """Raises ValueError if a column is missing or has another type."""
        if dict(frame.schema) != SCHEMA:
            raise ValueError(f"a market's columns are {list(SCHEMA)}, not {frame.schema}")
        self.frame = frame
        self.dropped = dict(dropped or {})
        self.missing = dict(missing or {})

    @classmethod
    def of(cls, offers: Iterable[Offer]) -> Market:
        return cls(pl.DataFrame([offer.model_dump() for offer in offers], schema=SCHEMA, orient="row"))

    @classmethod
    def merged(cls, markets: Iterable[Market]) -> Market:
        """Combine all offers of all markets."""
        parts = list(markets)
        dropped: Counter[str] = Counter()
        missing: dict[str, str] = {}
        for market in parts:
            dropped.update(market.dropped)
            missing |= market.missing
        return cls(pl.concat([pl.DataFrame(schema=SCHEMA), *(market.frame for market in parts)]), dropped, missing)

    def __len__(self) -> int:
        return self.frame.height

    @property
    def seen_at(self) -> datetime | None:
        """Time of the oldest offer."""
        return self.frame["seen_at"].min()  # type: ignore[return-value]

    def judged(self, requirements: Requirements) -> pl.DataFrame:
        """Return the frame with two more columns: `why_not` (Enum; null = eligible), the first requirement that
        excludes the offer, and `misses` (UInt8), the number of unmet requirements, so the nearest offer has the least.

        A pure function of offer and requirements: no clock, no network.
        """
        tests = _tests(requirements)
        first = pl.lit(None, dtype=pl.UInt8)
        misses = pl.lit(0, dtype=pl.UInt8)
        for number, (_, predicate) in reversed(list(enumerate(tests))):
            fits = predicate.fill_null(False)
            first = pl.when(fits).then(first).otherwise(pl.lit(number, dtype=pl.UInt8))
            misses = misses + (~fits).cast(pl.UInt8)
        # Numbers until here: a million strings would take a tenth of a second.
        reasons = pl.Enum([reason for reason, _ in tests])
        return self.frame.with_columns(why_not=first.cat.to(reasons), misses=misses)

    def eligible(self, requirements: Requirements) -> Market:
        """Return the offers that meet every requirement."""
        return Market(self.judged(requirements).filter(pl.col("why_not").is_null()).drop("why_not", "misses"))


def offers_of(frame: pl.DataFrame) -> list[Offer]:
    """Return the rows of a frame as offers; additional columns are ignored."""
    return [Offer.model_validate(row) for row in frame.select(list(SCHEMA)).to_dicts()]


def _tests(r: Requirements) -> list[tuple[str, pl.Expr]]:
    """Return each requirement as (its name and bound, the predicate), in the order in which they are applied."""
    column = pl.col
    tests: list[tuple[str, pl.Expr]] = [
        ("a price of at least 0", column("spot_usd_h") >= 0),
        (f"min_vcpus = {r.min_vcpus}", column("vcpus") >= r.min_vcpus),
        (f"min_memory_gib = {r.min_memory_gib:g}", column("memory_gib") >= r.min_memory_gib),
        (f"architectures = {', '.join(r.architectures)}", column("architecture").is_in(r.architectures)),
    ]
    if r.max_vcpus is not None:
        tests.append((f"max_vcpus = {r.max_vcpus}", column("vcpus") <= r.max_vcpus))
    if r.max_memory_gib is not None:
        tests.append((f"max_memory_gib = {r.max_memory_gib:g}", column("memory_gib") <= r.max_memory_gib))
    if r.clouds:
        tests.append((f"clouds = {', '.join(r.clouds)}", column("cloud").is_in(r.clouds)))
    if r.regions:
        tests.append((f"regions = {', '.join(r.regions)}", column("region").is_in(r.regions)))
    if r.not_regions:
        tests.append((f"not_regions = {', '.join(r.not_regions)}", ~column("region").is_in(r.not_regions)))
    if r.max_usd_h is not None:
        tests.append((f"max_usd_h = {r.max_usd_h:g}", column("spot_usd_h") <= r.max_usd_h))
    if not r.wants_gpu:
        tests.append(("gpu_count = 0", column("gpu_count") == 0))
    else:
        count = max(r.gpu_count, 1)
        tests.append((f"gpu_count = {count}", column("gpu_count") >= count))
        if r.gpu is not None:
            tests.append((f"gpu = {r.gpu}", column("gpu") == r.gpu))
        if r.min_gpu_memory_gib is not None:
            least = r.min_gpu_memory_gib
            tests.append((f"min_gpu_memory_gib = {least:g}", column("gpu_memory_gib") >= least))
    if not r.burstable:
        tests.append(("burstable = no", ~column("burstable")))
    if not r.bare_metal:
        tests.append(("bare_metal = no", ~column("bare_metal")))
    return tests
