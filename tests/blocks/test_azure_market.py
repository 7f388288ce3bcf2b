"""Azure's market, read with the real SDK from an emulator: whole, in parts, and not at all."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest

from blocks.azure.block import AzureCloud
from blocks.azure.credentials import AzureCredentials
from blocks.azure.market import AT_MOST
from blocks.cloud import MarketUnavailable
from blocks.market import Market, offers_of
from tests.emulators.azure import (
    AzureEmulator,
    cut,
    empty,
    fault,
    garbage,
    refused,
    server_error,
    throttled,
)
from tests.emulators.azure_world import SUBSCRIPTION, big_world, small_world

BY_NAME = "read from their names; add credentials to the block for restrictions, zones and eviction rates"


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureEmulator]:
    """An emulated Azure, whose managed identity is this computer's."""
    with AzureEmulator() as emulator:
        for name in os.environ:
            if name.startswith(("AZURE_", "IDENTITY_", "MSI_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.url)
        yield emulator


def block(azure: AzureEmulator, *regions: str) -> AzureCloud:
    credentials = AzureCredentials(subscription_id=SUBSCRIPTION)
    return AzureCloud(
        credentials=credentials, regions=list(regions), management_endpoint=azure.url, prices_endpoint=azure.url
    )


def public(azure: AzureEmulator, *regions: str) -> AzureCloud:
    return AzureCloud(regions=list(regions), prices_endpoint=azure.url)


def rows(market: Market, size: str, region: str = "eastus") -> pl.DataFrame:
    return market.frame.filter(instance_type=size, region=region).sort("zone")


def test_every_usable_size_is_offered_in_every_zone(azure: AzureEmulator) -> None:
    market = block(azure).market()

    # Sixteen sizes less the one that is no spot; the first region has two more, one of them in two zones.
    assert dict(market.frame.group_by("region").len().iter_rows()) == {
        "eastus": 15 * 3 + 3 + 2,
        "westeurope": 15 * 3,
        "brazilsouth": 15,
    }
    assert market.missing == {}
    assert len(offers_of(market.frame)) == len(market)


def test_an_offer_has_all_of_its_parts(azure: AzureEmulator) -> None:
    market = block(azure, "eastus").market()
    offer = offers_of(rows(market, "Standard_D2s_v5"))[0]

    assert (offer.cloud, offer.region, offer.zone, offer.zone_id) == ("azure", "eastus", "eastus-1", None)
    assert (offer.family, offer.vcpus, offer.cores, offer.memory_gib) == ("Dsv5", 2, 1.0, 8.0)
    assert (offer.spot_usd_h, offer.on_demand_usd_h) == pytest.approx((0.0192, 0.096))
    assert (offer.interruption, offer.interruptions_per_h, offer.notice_s) == ("low", None, 30.0)
    assert (offer.gpu, offer.gpu_count, offer.burstable, offer.bare_metal) == (None, 0.0, False, False)
    assert offer.disk_usd_gib_month > 0
    assert offer.ip_usd_h > 0
    assert offer.egress_usd_gib > 0


def test_interruption_words(azure: AzureEmulator) -> None:
    azure.world.evictions += [("standard_f4s_v2", "eastus", "15-20"), ("standard_l8s_v3", "eastus", "a new bucket")]
    market = block(azure, "eastus").market()
    words = dict(market.frame.select("instance_type", "interruption").unique().iter_rows())

    assert words["Standard_D2s_v5"] == "low"
    assert words["Standard_D4as_v5"] == "medium"
    assert words["Standard_E8-4ds_v5"] == "high"
    assert words["Standard_F4s_v2"] == "high"
    assert words["Standard_L8s_v3"] == "unknown"
    assert words["Standard_D2s_v3"] == "unknown"


def test_the_traps_of_the_lists_are_counted_one_by_one(azure: AzureEmulator) -> None:
    market = block(azure, "eastus").market()

    assert market.dropped == {
        "azure: Windows": 16,
        "azure: Cloud Services": 1,
        "azure: dedicated host": 1,
        "azure: no size named": 1,
        "azure: not priced by the hour": 1,
        "azure: older price of the same size": 1,
        "azure: price of a date past": 1,
        "azure: price of a date to come": 1,
        "azure: price of zero or less": 1,
        "azure: a size that cannot be deployed as spot": 1,
        "azure: a size listed without vCPUs or memory": 1,
        "azure: not among the sizes of its region": 1,
        "azure: not available for this subscription": 1,
        "azure: zone not available for this subscription": 1,
    }
    # However the price list spells it, and without the zone that the subscription may not use.
    assert rows(market, "Standard_DS14_v2")["zone"].to_list() == ["eastus-1", "eastus-2"]
    assert rows(market, "Standard_NV6ads_A10_v5")["gpu_count"].to_list() == pytest.approx([1 / 6] * 3)
    assert rows(market, "Standard_M8-2ms")["vcpus"].to_list() == [2, 2, 2]


def test_a_catalogue_spares_all_but_the_prices(azure: AzureEmulator) -> None:
    cloud = block(azure)
    catalogue = pickle.loads(pickle.dumps(cloud.catalogue()))
    azure.calls.clear()
    market = cloud.market(catalogue)

    assert sorted(azure.calls) == ["spot brazilsouth", "spot eastus", "spot westeurope"]
    whole = cloud.market()
    assert (
        market.frame.drop("seen_at")
        .sort("region", "instance_type", "zone")
        .equals(whole.frame.drop("seen_at").sort("region", "instance_type", "zone"))
    )
    assert (market.dropped, market.missing) == (whole.dropped, whole.missing)


def test_one_login_serves_all_calls(azure: AzureEmulator) -> None:
    block(azure).catalogue()

    assert Counter(azure.calls)["login"] == 1


def test_pages_are_followed_to_the_end(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = block(azure).market()
    azure.calls.clear()
    small = replace(small_world(), items_a_page=7, skus_a_page=4, rows_a_page=2)
    with AzureEmulator(small) as paged:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", paged.url)
        market = block(paged).market()

    columns = ["region", "instance_type", "zone"]
    assert market.frame.drop("seen_at").sort(columns).equals(whole.frame.drop("seen_at").sort(columns))
    assert Counter(paged.calls)["graph"] == 5
    assert Counter(paged.calls)["skus westeurope"] == 5
    assert Counter(paged.calls)["spot westeurope"] == 5


def test_progress_is_told(azure: AzureEmulator) -> None:
    told: list[tuple[int, int]] = []
    block(azure).market(tell=lambda done, total: told.append((done, total)))

    assert told == [(done, 10) for done in range(1, 11)]


def test_without_credentials_names_give_the_shapes(azure: AzureEmulator) -> None:
    market = public(azure).market()

    assert not {"login", "graph", "skus"} & {call.partition(" ")[0] for call in azure.calls}
    assert market.missing == {"azure sizes": BY_NAME}
    assert market.frame["zone"].null_count() == len(market)
    assert set(market.frame["interruption"]) == {"unknown"}
    # M, HB and B of v1 in each region; in the first also D14, DS14, G5, NP10s and X9.
    assert market.dropped["azure: shape unknown without credentials"] == 3 * 3 + 5
    with_account = block(azure).market()
    columns = ["vcpus", "cores", "memory_gib", "architecture", "gpu", "gpu_count", "burstable", "on_demand_usd_h"]
    for size in market.frame["instance_type"].unique():
        assert rows(market, size).select(columns).rows() == rows(with_account, size).select(columns).unique().rows()


def test_a_catalogue_without_credentials(azure: AzureEmulator) -> None:
    cloud = public(azure, "westeurope")
    market = cloud.market(cloud.catalogue())

    assert set(market.frame["region"]) == {"westeurope"}
    assert market.missing == {"azure sizes": BY_NAME}


def test_a_busy_or_broken_service_is_asked_again(azure: AzureEmulator) -> None:
    for answer, call in (
        (throttled(), "spot eastus"),
        (throttled(), "skus eastus"),
        (throttled(), "graph"),
        (server_error(), "prices westeurope"),
        (server_error(), "skus westeurope"),
        (cut(), "spot brazilsouth"),
        (cut(), "skus brazilsouth"),
        (garbage(), "prices brazilsouth"),
    ):
        azure.fail(fault(call, answer, times=1))
    market = block(azure).market()

    assert market.missing == {}
    assert market.frame["region"].n_unique() == 3
    assert Counter(azure.calls)["spot eastus"] == 2
    assert Counter(azure.calls)["skus brazilsouth"] == 2


@pytest.mark.parametrize("answer", [cut(), garbage()])
def test_resource_graph_is_asked_again(azure: AzureEmulator, answer: object) -> None:
    azure.fail(fault("graph", answer, times=1))  # type: ignore[arg-type]
    market = block(azure, "eastus").market()

    assert market.missing == {}
    assert set(rows(market, "Standard_D2s_v5")["interruption"]) == {"low"}


def test_a_region_that_does_not_answer_is_named(azure: AzureEmulator) -> None:
    azure.fail(fault("spot eastus", garbage()))
    azure.fail(fault("skus westeurope", refused(403, "AuthorizationFailed")))
    market = block(azure).market()

    assert set(market.frame["region"]) == {"brazilsouth"}
    assert market.missing == {
        "azure eastus": "the price list gave no whole answer in 3 attempts: it is no list in JSON; try again later",
        "azure westeurope": "Resource SKUs failed: 403 AuthorizationFailed; "
        "give the identity the Reader role on the subscription",
    }


def test_a_table_that_does_not_answer_is_named_and_the_rest_stands(azure: AzureEmulator) -> None:
    azure.fail(fault("prices", refused(400, "BadRequest")))
    azure.fail(fault("graph", empty()))
    market = block(azure).market()

    assert len(market) == 110
    assert market.frame["on_demand_usd_h"].null_count() == 110
    assert set(market.frame["interruption"]) == {"unknown"}
    assert market.missing == {
        "azure eviction rates": "Resource Graph knows none; give the identity the Reader role on the subscription",
        "azure on-demand prices": f"the price list at {azure.url} answered 400 Bad Request; try again later",
    }


def test_one_regions_on_demand_prices_may_be_missing(azure: AzureEmulator) -> None:
    azure.fail(fault("prices eastus", refused(400, "BadRequest")))
    market = public(azure).market()

    assert "azure on-demand prices of eastus" in market.missing
    assert rows(market, "Standard_D2s_v5")["on_demand_usd_h"].to_list() == [None]
    assert rows(market, "Standard_D2s_v5", "westeurope")["on_demand_usd_h"].null_count() == 0


def test_regions_that_sell_nothing_are_named(azure: AzureEmulator) -> None:
    cloud = public(azure, "eastus", "nowhere")
    market = cloud.market()
    catalogue = public(azure, "eastus").catalogue()

    assert market.missing["azure nowhere"] == "the price list has no spot price there; check the region's name"
    assert cloud.market(catalogue).missing["azure nowhere"] == "not in the catalogue; read it anew"


def test_regions_are_known_while_one_of_the_sizes_answers(azure: AzureEmulator) -> None:
    azure.fail(fault("regions Standard_D2s_v3", refused(400, "BadRequest")))
    azure.fail(fault("regions Standard_D2s_v5", empty()))
    market = public(azure).market()

    assert market.frame["region"].n_unique() == 3
    assert market.missing["azure regions"].startswith("some may be left out: the price list at")


@pytest.mark.parametrize(
    ("call", "answer", "why"),
    [
        ("regions", empty(), "the price list names no region: its answer is empty; check the prices endpoint"),
        ("regions", refused(400, "x"), "the price list names no region: the price list at .* answered 400 Bad Request"),
        ("spot", empty(), "no region gives spot prices: the answers are empty; check the prices endpoint"),
        ("spot", refused(403, "x"), "no region gives spot prices: the price list at .* answered 403 Forbidden"),
        ("skus", refused(403, "AuthorizationFailed"), "no sizes are listed: .* 403 AuthorizationFailed; give the"),
        ("skus", empty(), "no sizes are listed: Resource SKUs list no size there; check the region"),
        ("login", refused(400, "invalid_request"), "the login failed: no credential gives a token; check the Azure"),
    ],
)
def test_no_market_without_its_parts(azure: AzureEmulator, call: str, answer: object, why: str) -> None:
    azure.fail(fault(call, answer))  # type: ignore[arg-type]

    with pytest.raises(MarketUnavailable, match=f"^azure: {why}") as error:
        block(azure).market()
    assert "\n" not in str(error.value)


def test_an_unknown_subscription_is_said(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.credentials = AzureCredentials(subscription_id="00000000-0000-0000-0000-000000000bad")

    with pytest.raises(MarketUnavailable, match="404 SubscriptionNotFound; check the subscription ID"):
        cloud.catalogue()


def test_links_to_another_host_are_not_followed(azure: AzureEmulator) -> None:
    with AzureEmulator() as stranger:
        azure.elsewhere = stranger.url
        azure.world = replace(small_world(), items_a_page=20, skus_a_page=10)
        cloud = block(azure, "eastus")
        with pytest.raises(MarketUnavailable, match=r"leads on to another host, 127\.0\.0\.1:.* set the endpoint"):
            cloud.market()
        assert stranger.calls == []


def test_nobody_at_home(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.http._BACKOFF_S", 0.0)
    cloud = AzureCloud(prices_endpoint="http://127.0.0.1:9", regions=["eastus"])

    with pytest.raises(MarketUnavailable, match=r"^azure: no region gives spot prices: .* cannot be reached"):
        cloud.market(public(azure).catalogue())


def test_a_large_world_is_read_by_many_at_once_and_not_by_too_many() -> None:
    with AzureEmulator(big_world(regions=12, sizes=520), latency_s=0.005) as azure:
        market = public(azure).market()

    assert market.frame["region"].n_unique() == 12
    assert Counter(azure.calls)["spot region0"] == 2  # 1,042 rows
    assert market.missing == {"azure sizes": BY_NAME}
    assert azure.most_at_once <= AT_MOST
