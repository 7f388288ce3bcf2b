"""Spot prices (EC2 API, DescribeSpotPriceHistory), joined with the catalogue's tables to offers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from spotwave.blocks.aws import list_prices
from spotwave.blocks.aws.clients import AT_MOST, Clients
from spotwave.blocks.aws.table_part import Part
from spotwave.blocks.concurrent import OnProgress, Unavailable, gather
from spotwave.blocks.interruption_columns import word

SPOT: dict[str, pl.DataType] = {
    "region": pl.String(),
    "zone": pl.String(),
    "instance_type": pl.String(),
    "product": pl.String(),
    "price": pl.String(),
    "at": pl.Datetime("us", "UTC"),
}
# The second spelling appears in accounts that still have EC2-Classic.
LINUX = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
_MEMBERS = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")


def read_spot_prices(clients: Clients, regions: Sequence[str], now: datetime, tell: OnProgress) -> Part:
    """Return the prices at `now` in every region, as in `spot_frame`.

    After a start time of now there are no changes, but the API adds the last change before it for every pool.
    """

    def ask(region: str) -> pl.DataFrame:
        operation, member = "describe_spot_price_history", "SpotPriceHistory"
        asked = {"StartTime": now, "ProductDescriptions": [LINUX[0]]}
        found = spot_frame(region, clients.rows("ec2", region, operation, member, **asked))
        if found.is_empty():
            raise Unavailable("no spot price is listed")
        return found

    answers, failed = gather({region: partial(ask, region) for region in regions}, AT_MOST, tell)
    return Part(pl.concat([pl.DataFrame(schema=SPOT), *answers.values()]), failed)


def spot_frame(region: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Convert boto3's rows; prices remain strings."""
    listed = list(rows)
    columns = [[row.get(member) for row in listed] for member in _MEMBERS]
    names = list(SPOT)[1:]
    return pl.DataFrame(dict(zip(names, columns, strict=True)), schema={name: SPOT[name] for name in names}).select(
        pl.lit(region).alias("region"), *names
    )


def saved_rows(text: str) -> list[dict[str, Any]]:
    """Parse the output of `aws ec2 describe-spot-price-history`. Raises ValueError."""
    try:
        rows: list[dict[str, Any]] = json.loads(text)["SpotPriceHistory"]
        return [{**row, "Timestamp": datetime.fromisoformat(row["Timestamp"])} for row in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"this is not the JSON output of describe-spot-price-history: {error}") from error


def offers(
    spot: pl.DataFrame, tables: Mapping[str, pl.DataFrame], now: datetime
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return (offers with at least the columns of `market.SCHEMA`, not yet vetted; number of rows left out, by reason).

    spot: as in `spot_frame`; tables: of the catalogue.
    """
    dropped: Counter[str] = Counter()

    def without(frame: pl.DataFrame, reason: pl.Expr) -> pl.DataFrame:
        judged = frame.with_columns(left_out=reason)
        dropped.update(dict(judged.drop_nulls("left_out").group_by("left_out").len().iter_rows()))
        return judged.filter(pl.col("left_out").is_null()).drop("left_out")

    def because(reason: str, wrong: pl.Expr) -> pl.Expr:
        return pl.when(wrong).then(pl.lit(reason))

    linux = without(spot, because("operating system other than Linux", ~pl.col("product").is_in(LINUX)))
    newest = linux.sort("at", descending=True, nulls_last=True).unique(
        ["region", "zone", "instance_type"], keep="first", maintain_order=True
    )
    dropped["price replaced by a newer one"] = linux.height - newest.height
    placed = without(
        newest.join(tables["zones"], on=["region", "zone"], how="left"),
        pl.coalesce("no_zone", because("zone unknown", pl.col("zone_id").is_null())),
    )
    shaped = without(
        placed.join(tables["types"], on="instance_type", how="left"),
        pl.coalesce("no_use", because("instance type unknown", pl.col("family").is_null())),
    )
    priced = without(
        shaped.with_columns(spot_usd_h=pl.col("price").cast(pl.Float64, strict=False)),
        because("price that is not a number", pl.col("spot_usd_h").is_null()),
    )
    joined = (
        priced.join(tables["on_demand"], on=["region", "instance_type"], how="left")
        .join(tables["interruptions"], on=["region", "instance_type"], how="left")
        .with_columns(
            pl.lit("aws").alias("cloud"),
            word(),
            pl.lit(list_prices.NOTICE_S).alias("notice_s"),
            pl.when("bare_metal").then(list_prices.METAL_BOOT_S).otherwise(list_prices.BOOT_S).alias("boot_s"),
            pl.lit(list_prices.DISK_USD_GIB_MONTH).alias("disk_usd_gib_month"),
            pl.lit(list_prices.IP_USD_H).alias("ip_usd_h"),
            pl.lit(list_prices.EGRESS_USD_GIB).alias("egress_usd_gib"),
            pl.lit(now).alias("seen_at"),
        )
    )
    return joined, dict(dropped)
