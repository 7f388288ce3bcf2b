"""Snapshot store: snapshots are read back unchanged, never incomplete and never overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import polars as pl
import pytest
from moto.server import ThreadedMotoServer

from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import CATALOGUES, SnapshotStore, StoreUnavailable
from tests.blocks.test_market import an_offer

NIGHT = datetime(2026, 5, 4, 3, 0, 12, tzinfo=UTC)
KEYS = {"key": "k", "secret": "s"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an S3 server with a bucket 'prices'."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="prices")
    yield url
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    if request.param == "folder":
        return SnapshotStore(url=str(tmp_path / "store"))
    url = request.getfixturevalue("bucket")
    return SnapshotStore(url=f"s3://prices/{tmp_path.name}", options={**KEYS, "client_kwargs": {"endpoint_url": url}})


def a_market(usd: float = 0.1, cloud: str = "aws") -> Market:
    offers = [an_offer(cloud=cloud, spot_usd_h=usd), an_offer(cloud=cloud, zone="eu-central-1b", spot_usd_h=2 * usd)]
    return Market(Market.of(offers).frame, {"aws: no price": 3}, {"aws mx-central-1": "not enabled"})


def test_published_snapshot_is_read_back(store: SnapshotStore) -> None:
    market = a_market()
    published = store.publish("aws", market, {"seconds": 1.5}, NIGHT)
    assert store.snapshots() == [published]
    again = store.read(published)
    assert again.frame.equals(market.frame)
    assert (again.dropped, again.missing) == (market.dropped, market.missing)
    assert store.facts(published)["seconds"] == 1.5
    assert published.path.endswith("prices/v1/date=2026-05-04/cloud=aws/030012Z.parquet")


def test_frame_of_all_snapshots(store: SnapshotStore) -> None:
    for day in range(3):
        for cloud in ("aws", "gcp"):
            store.publish(cloud, a_market(0.1 + day, cloud), {}, NIGHT + timedelta(days=day))
    assert store.frame().height == 12
    some = store.frame(["gcp"], since=date(2026, 5, 5), until=date(2026, 5, 5))
    assert some.select("cloud", "taken_at").unique().rows() == [("gcp", NIGHT + timedelta(days=1))]
    assert store.clouds() == ["aws", "gcp"]
    one_pool = pl.DataFrame({"cloud": ["aws"], "zone": ["eu-central-1b"]})
    assert store.frame(pools=one_pool)["spot_usd_h"].to_list() == pytest.approx([0.2, 2.2, 4.2])


def test_latest_snapshot(store: SnapshotStore) -> None:
    assert store.latest("aws") is None
    first = store.publish("aws", a_market(), {}, NIGHT)
    second = store.publish("aws", a_market(0.2), {}, NIGHT + timedelta(hours=5))
    store.publish("gcp", a_market(cloud="gcp"), {}, NIGHT + timedelta(days=9))
    assert store.latest("aws") == second
    assert store.latest("aws", before=second.taken_at) == first
    assert store.latest("aws", before=NIGHT) is None


def test_notes(store: SnapshotStore) -> None:
    assert store.notes("runs/v1") == []
    store.note("runs/v1", "sw-1", {"core_h": 2})
    store.note("runs/v1", "sw-1", {"core_h": 3})
    assert store.notes("runs/v1") == [{"core_h": 3}]


def test_incomplete_file_is_no_snapshot(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    published = store.publish("aws", a_market(), {}, NIGHT)
    (Path(published.path).parent / "040000Z.parquet.1a2b3c4d.part").write_bytes(b"PAR1")
    (Path(published.path).parent / "notes.parquet").write_bytes(b"")
    assert store.snapshots() == [published]


def test_file_of_an_older_version_reads_with_nulls(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    published = store.publish("aws", a_market(), {}, NIGHT)
    later = ["zone_id", "boot_s", "gpu_memory_gib", "interruption_basis"]
    pl.read_parquet(published.path).drop(later).write_parquet(published.path)
    assert set(store.read(published).frame.select(later).null_count().row(0)) == {2}


def test_catalogue_of_another_version_is_not_used(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    store.keep_catalogue("aws-0", Catalogue({"types": pl.DataFrame({"gpu": ["A100"]})}), NIGHT)
    assert store.catalogue("aws-0") is not None
    (tmp_path / "catalogues" / CATALOGUES).rename(tmp_path / "catalogues" / "v1")
    assert store.catalogue("aws-0") is None


def test_unwritable_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"^url: cannot write .*Check the place"):
        SnapshotStore(url=str(tmp_path / "file")).publish("aws", a_market(), {}, NIGHT)


def test_unknown_scheme_is_reported() -> None:
    with pytest.raises(StoreUnavailable, match=r"^url: 'ftps3://x' cannot be opened"):
        SnapshotStore(url="ftps3://x").snapshots()


def test_secrets_of_the_store_are_never_shown(bucket: str) -> None:
    store = SnapshotStore(
        url="s3://no-such-bucket/x",
        options={"key": "AKIA0", "secret": "hush", "client_kwargs": {"endpoint_url": bucket}},
    )
    with pytest.raises(StoreUnavailable) as caught:
        store.publish("aws", a_market(), {}, NIGHT)
    shown = f"{store!r} {json.dumps(store.model_dump(mode='json'))} {caught.value}"
    assert "hush" not in shown


def test_catalogue_is_saved_and_replaced(store: SnapshotStore) -> None:
    assert store.catalogue("aws-1") is None
    for night in (NIGHT, NIGHT + timedelta(days=1)):
        types = pl.DataFrame({"type": ["m5.large"], "vcpus": [night.day]})
        store.keep_catalogue("aws-1", Catalogue({"types": types}, {"no spot": 2}, {"x": "why"}), night)
    taken_at, kept = store.catalogue("aws-1") or pytest.fail("nothing kept")
    assert taken_at == night
    assert kept.tables["types"].equals(types)
    assert (kept.dropped, kept.missing) == ({"no spot": 2}, {"x": "why"})
