"""Failures of Azure are reported with the remedy, and the rest of the market is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.credentials import AzureCredentials
from spotwave.blocks.errors import MarketUnavailable
from tests.emulators.azure import (
    AzureEmulator,
    empty,
    fault,
    refused,
    server_error,
    throttled,
)
from tests.emulators.azure_kit import block, public, rows
from tests.emulators.azure_world import small_world
from tests.emulators.server import Answer, cut, garbage


def test_throttled_or_failed_call_is_retried(azure: AzureEmulator) -> None:
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
def test_resource_graph_is_retried(azure: AzureEmulator, answer: Answer) -> None:
    azure.fail(fault("graph", answer, times=1))
    market = block(azure, "eastus").market()

    assert market.missing == {}
    assert set(rows(market, "Standard_D2s_v5")["interruption"]) == {"medium"}


def test_failed_region_is_reported(azure: AzureEmulator) -> None:
    azure.fail(fault("spot eastus", garbage()))
    azure.fail(fault("skus westeurope", refused(403, "AuthorizationFailed")))
    market = block(azure).market()

    assert set(market.frame["region"]) == {"brazilsouth"}
    assert market.missing == {
        "azure eastus": f"the price list at {azure.url} gave no complete answer in 3 attempts: "
        "it is not a list in JSON; try again later",
        "azure westeurope": "Resource SKUs failed: 403 AuthorizationFailed; "
        "give the identity the Reader role on the subscription",
    }


def test_failed_table_is_reported_and_the_rest_is_kept(azure: AzureEmulator) -> None:
    azure.fail(fault("prices", refused(400, "BadRequest")))
    azure.fail(fault("graph", empty()))
    market = block(azure).market()

    assert len(market) == 110
    assert market.frame["on_demand_usd_h"].null_count() == 110
    assert set(market.frame["interruption"]) == {"unknown"}
    assert market.missing == {
        "azure eviction rates": "Resource Graph has no rates; give the identity the Reader role on the subscription",
        "azure on-demand prices": f"the price list at {azure.url} answered 400 Bad Request; try again later",
    }


def test_on_demand_prices_of_one_region_may_be_missing(azure: AzureEmulator) -> None:
    azure.fail(fault("prices eastus", refused(400, "BadRequest")))
    market = public(azure).market()

    assert "azure on-demand prices of eastus" in market.missing
    assert rows(market, "Standard_D2s_v5")["on_demand_usd_h"].to_list() == [None]
    assert rows(market, "Standard_D2s_v5", "westeurope")["on_demand_usd_h"].null_count() == 0


def test_regions_without_prices_are_reported(azure: AzureEmulator) -> None:
    cloud = public(azure, "eastus", "nowhere")
    market = cloud.market()
    catalogue = public(azure, "eastus").catalogue()

    assert market.missing["azure nowhere"] == "the price list has no spot price there; check the region's name"
    assert cloud.market(catalogue).missing["azure nowhere"] == "not in the catalogue; read it again"


def test_regions_are_known_if_one_of_the_sizes_answers(azure: AzureEmulator) -> None:
    azure.fail(fault("regions Standard_D2s_v3", refused(400, "BadRequest")))
    azure.fail(fault("regions Standard_D2s_v5", empty()))
    market = public(azure).market()

    assert market.frame["region"].n_unique() == 3
    assert market.missing["azure regions"].startswith("some may be missing: the price list at")


@pytest.mark.parametrize(
    ("call", "answer", "why"),
    [
        ("regions", empty(), "the price list has no region: its answer is empty; check the prices endpoint"),
        ("regions", refused(400, "x"), "the price list has no region: the price list at .* answered 400 Bad Request"),
        ("spot", empty(), "no region has spot prices: the answers are empty; check the prices endpoint"),
        ("spot", refused(403, "x"), "no region has spot prices: the price list at .* answered 403 Forbidden"),
        ("skus", refused(403, "AuthorizationFailed"), "no sizes are listed: .* 403 AuthorizationFailed; give the"),
        ("skus", empty(), "no sizes are listed: Resource SKUs has no size there; check the region"),
        (
            "login",
            refused(400, "invalid_request"),
            "the login failed: no token; check the service principal",
        ),
    ],
)
def test_market_is_unavailable_without_a_required_part(
    azure: AzureEmulator, call: str, answer: Answer, why: str
) -> None:
    azure.fail(fault(call, answer))

    with pytest.raises(MarketUnavailable, match=f"^azure: {why}") as error:
        block(azure).market()
    assert "\n" not in str(error.value)


def test_unknown_subscription_is_reported(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.credentials = AzureCredentials(subscription_id="00000000-0000-0000-0000-000000000bad")

    with pytest.raises(MarketUnavailable, match="404 SubscriptionNotFound; check the subscription ID"):
        cloud.catalogue()


def test_links_to_another_host_are_not_followed(azure: AzureEmulator) -> None:
    with AzureEmulator() as stranger:
        azure.elsewhere = stranger.url
        azure.world = replace(small_world(), items_a_page=20, skus_a_page=10)
        cloud = block(azure, "eastus")
        with pytest.raises(MarketUnavailable, match=r"links to another host, 127\.0\.0\.1:.* set the endpoint"):
            cloud.market()
        assert stranger.calls == []


def test_unreachable_price_list(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotwave.blocks.http._BACKOFF_S", 0.0)
    cloud = AzureCloud(prices_endpoint="http://127.0.0.1:9", regions=["eastus"])

    with pytest.raises(MarketUnavailable, match=r"^azure: no region has spot prices: .* cannot be reached"):
        cloud.market(public(azure).catalogue())
