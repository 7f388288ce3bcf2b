"""The choice of an offer: the cheapest to finish among the eligible, always the same, with its reasons."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from blocks.cloud import Offer, Requirements
from blocks.market import Market
from tasks.select import rank, why

SEEN = datetime(2026, 1, 1, tzinfo=UTC)


def offer(name: str, vcpus: int = 4, usd: float = 0.1, **more: object) -> Offer:
    fields: dict[str, object] = {
        "cloud": "here",
        "instance_type": name,
        "region": "r1",
        "family": name,
        "vcpus": vcpus,
        "cores": vcpus,
        "memory_gib": 4.0 * vcpus,
        "architecture": "x86_64",
        "spot_usd_h": usd,
        "interruption": "low",
        "notice_s": 120.0,
        "seen_at": SEEN,
    }
    return Offer.model_validate(fields | more)


def chosen(offers: list[Offer], requirements: Requirements | None = None, **cooling: str) -> str:
    choice = rank(
        Market.of(offers), requirements or Requirements(), 10.0, {f"here {k} r1": v for k, v in cooling.items()}
    )
    return choice.ranked[0].offer.instance_type


def test_the_cheapest_to_finish_is_not_the_cheapest_per_hour() -> None:
    slow = offer("slow", vcpus=2, usd=0.05)
    fast = offer("fast", vcpus=8, usd=0.12)
    assert chosen([slow, fast]) == "fast"


def test_frequent_interruptions_cost() -> None:
    assert chosen([offer("calm", usd=0.100), offer("restless", usd=0.098, interruption="high")]) == "calm"


def test_unknown_interruption_counts_as_medium() -> None:
    choice = rank(
        Market.of([offer("a", interruption="unknown"), offer("b", interruption="medium")]), Requirements(), 10.0, {}
    )
    assert choice.ranked[0].expected_usd == pytest.approx(choice.ranked[1].expected_usd, rel=1e-12)


def test_a_measured_rate_counts_more_than_a_word() -> None:
    assert chosen([offer("said-low", interruptions_per_h=2.0), offer("said-high", interruption="high")]) == "said-high"


def test_free_offers_are_ranked_by_speed_then_by_name() -> None:
    free = [offer("b", usd=0.0), offer("a", usd=0.0), offer("big", vcpus=8, usd=0.0)]
    assert chosen(free) == "big"
    names = [r.offer.instance_type for r in rank(Market.of(free), Requirements(), 1.0, {}).ranked]
    assert names == ["big", "a", "b"]


def test_a_pool_that_was_lost_comes_last_but_is_better_than_none() -> None:
    two = [offer("cheap", usd=0.01), offer("dear", usd=1.0)]
    assert chosen(two, cheap="lost in attempt 1") == "dear"
    only = rank(Market.of(two[:1]), Requirements(), 1.0, {"here cheap r1": "lost in attempt 1"})
    assert only.ranked[0].offer.instance_type == "cheap"
    assert "cooling down" in why(only)


def test_the_order_of_the_market_does_not_matter() -> None:
    offers = [offer(f"t{n}", vcpus=2 + n % 5, usd=round(0.01 * (n % 7), 2)) for n in range(60)]
    expected = rank(Market.of(offers), Requirements(), 3.0, {})
    for seed in range(5):
        shuffled = offers[:]
        random.Random(seed).shuffle(shuffled)
        assert rank(Market.of(shuffled), Requirements(), 3.0, {}) == expected


def test_the_rejected_are_counted_by_reason() -> None:
    offers = [offer("small", vcpus=1), offer("tiny", vcpus=1), offer("burst", burstable=True), offer("good")]
    choice = rank(Market.of(offers), Requirements(min_vcpus=2), 1.0, {})
    assert [(r.reason, r.count) for r in choice.rejected] == [("min_vcpus = 2", 2), ("burstable = no", 1)]
    assert [r.offer.instance_type for r in choice.ranked] == ["good"]


def test_when_nothing_fits_the_nearest_and_its_obstacle_are_named() -> None:
    offers = [offer("small", vcpus=2), offer("large", vcpus=8), offer("small-arm", vcpus=2, architecture="arm64")]
    choice = rank(Market.of(offers), Requirements(min_vcpus=16, architectures=["x86_64"]), 1.0, {})
    assert not choice.ranked
    assert choice.remedy is not None
    assert "here large r1" in choice.remedy
    assert "min_vcpus = 16" in choice.remedy


def test_an_empty_market_has_a_remedy() -> None:
    choice = rank(Market.of([]), Requirements(), 1.0, {})
    assert choice.remedy is not None
    assert choice.remedy.startswith("clouds:")
