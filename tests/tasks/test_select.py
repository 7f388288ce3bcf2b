"""The choice of an offer: the cheapest to finish among the eligible ones, deterministic, with reasons."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from spotwave.blocks.interruption import (
    UNKNOWN_GPU_PER_H,
    UNKNOWN_PER_H,
    Rate,
    of_hour,
    of_month,
    of_stops,
)
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer, Requirements
from spotwave.blocks.refusal_scope import Scope
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.explain import explain
from spotwave.tasks.market.interruption_rates import with_current_rates
from spotwave.tasks.market.rank import KEPT, rank, why
from spotwave.tasks.records import Refusal
from tests.blocks.test_market import random_market, random_requirements

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
        Market.of(offers), requirements or Requirements(), Work(10.0), {f"here {k} r1": v for k, v in cooling.items()}
    )
    return choice.ranked[0].offer.instance_type


def test_the_cheapest_to_finish_is_not_the_cheapest_per_hour() -> None:
    slow = offer("slow", vcpus=2, usd=0.05)
    fast = offer("fast", vcpus=8, usd=0.12)
    assert chosen([slow, fast]) == "fast"


def test_frequent_interruptions_raise_the_expected_cost() -> None:
    calm, restless = of_month(0, 5).per_h, of_hour(15, 20).per_h
    offers = [
        offer("calm", usd=0.100, interruptions_per_h=calm),
        offer("restless", usd=0.098, interruptions_per_h=restless),
    ]
    assert chosen(offers) == "calm"


def test_lowest_bands_of_two_clouds_differ() -> None:
    """AWS reports a share per month, Azure a chance per hour: 700 times as often."""
    month, hour = of_month(0, 5), of_hour(0, 5)
    assert hour.per_h == 720 * month.per_h
    offers = [
        offer("hourly", usd=0.100, interruptions_per_h=hour.per_h),
        offer("monthly", usd=0.101, interruptions_per_h=month.per_h),
    ]
    assert chosen(offers) == "monthly"


@pytest.mark.parametrize(("gpus", "per_h"), [(0, UNKNOWN_PER_H), (1, UNKNOWN_GPU_PER_H)])
def test_unknown_rate_is_the_recorded_default(gpus: int, per_h: float) -> None:
    unknown = offer("a", interruption="unknown", gpu_count=gpus)
    known = offer("b", interruptions_per_h=per_h, gpu_count=gpus)
    choice = rank(Market.of([unknown, known]), Requirements(gpu_count=gpus), Work(10.0), {})
    assert [one.rate for one in choice.ranked] == [per_h, per_h]
    assert choice.ranked[0].expected_usd == pytest.approx(choice.ranked[1].expected_usd, rel=1e-12)


def test_rate_decides_and_gives_the_category() -> None:
    often = offer("often", interruption="low", interruptions_per_h=2.0)
    assert often.interruption == "high"
    assert chosen([often, offer("less", interruptions_per_h=0.3)]) == "less"


def test_free_offers_are_ranked_by_speed_then_by_name() -> None:
    free = [offer("b", usd=0.0), offer("a", usd=0.0), offer("big", vcpus=8, usd=0.0)]
    assert chosen(free) == "big"
    names = [r.offer.instance_type for r in rank(Market.of(free), Requirements(), Work(1.0), {}).ranked]
    assert names == ["big", "a", "b"]


def test_lost_pool_is_ranked_last_but_not_excluded() -> None:
    two = [offer("cheap", usd=0.01), offer("dear", usd=1.0)]
    assert chosen(two, cheap="lost in attempt 1") == "dear"
    only = rank(Market.of(two[:1]), Requirements(), Work(1.0), {"here cheap r1": "lost in attempt 1"})
    assert only.ranked[0].offer.instance_type == "cheap"
    assert "cooling down" in why(only)


def test_the_order_of_the_market_does_not_matter() -> None:
    offers = [offer(f"t{n}", vcpus=2 + n % 5, usd=round(0.01 * (n % 7), 2)) for n in range(60)]
    expected = rank(Market.of(offers), Requirements(), Work(3.0), {})
    for seed in range(5):
        shuffled = offers[:]
        random.Random(seed).shuffle(shuffled)
        assert rank(Market.of(shuffled), Requirements(), Work(3.0), {}) == expected


def test_the_rejected_are_counted_by_reason() -> None:
    offers = [offer("small", vcpus=1), offer("tiny", vcpus=1), offer("burst", burstable=True), offer("good")]
    choice = rank(Market.of(offers), Requirements(min_vcpus=2), Work(1.0), {})
    assert [(r.reason, r.count) for r in choice.rejected] == [("min_vcpus = 2", 2), ("burstable = no", 1)]
    assert [r.offer.instance_type for r in choice.ranked] == ["good"]


def test_ranking_has_offers_of_every_region() -> None:
    """If a quota excludes a whole region, other offers must be left to try."""
    many = [offer(f"t{n}", usd=0.1 + n / 1000) for n in range(KEPT + 20)]
    far = [offer(f"far{n}", usd=1.0 + n, region=f"r{n + 2}") for n in range(3)]
    ranked = rank(Market.of(many + far), Requirements(), Work(10.0), {}).ranked
    assert len(ranked) == KEPT + 3
    assert [r.offer.region for r in ranked[-3:]] == ["r2", "r3", "r4"]
    costs = [r.expected_usd for r in ranked]
    assert costs == sorted(costs)


def test_nearest_offer_and_its_obstacle_are_named_if_none_fits() -> None:
    offers = [offer("small", vcpus=2), offer("large", vcpus=8), offer("small-arm", vcpus=2, architecture="arm64")]
    choice = rank(Market.of(offers), Requirements(min_vcpus=16, architectures=["x86_64"]), Work(1.0), {})
    assert not choice.ranked
    assert choice.remedy is not None
    assert "here large r1" in choice.remedy
    assert "min_vcpus = 16" in choice.remedy


def test_an_empty_market_has_a_remedy() -> None:
    choice = rank(Market.of([]), Requirements(), Work(1.0), {})
    assert choice.remedy is not None
    assert choice.remedy.startswith("clouds:")


def test_price_objective_takes_the_cheapest_hour() -> None:
    slow = offer("slow", vcpus=2, usd=0.05, interruption="high")
    fast = offer("fast", vcpus=8, usd=0.12)
    choice = rank(Market.of([fast, slow]), Requirements(), Work(10.0), {}, objective="price")
    assert choice.ranked[0].offer.instance_type == "slow"
    assert "by price alone" in why(choice)


@pytest.mark.parametrize("seed", range(30))
def test_price_objective_finds_the_true_minimum(seed: int) -> None:
    dice = random.Random(seed)
    market, asked = random_market(dice), random_requirements(dice)
    choice = rank(market, asked, Work(10.0), {}, objective="price")
    eligible = market.eligible(asked).frame["spot_usd_h"]
    assert choice.eligible == len(eligible)
    if len(eligible):
        assert choice.ranked[0].offer.spot_usd_h == eligible.min()
        assert choice.remedy is None
    else:
        assert choice.remedy


def test_nearest_offers_are_of_different_types_with_reasons() -> None:
    offers = [offer("big", vcpus=8, zone=z) for z in ("a", "b")] + [offer("small"), offer("tiny", vcpus=1)]
    choice = rank(Market.of(offers), Requirements(min_vcpus=16), Work(1.0), {})
    assert [near.offer.instance_type for near in choice.nearest] == ["big", "small", "tiny"]
    assert {near.why_not for near in choice.nearest} == {"min_vcpus = 16"}


def test_interruption_rates_of_leading_offers_are_queried() -> None:
    class KnowingCloud(LocalCloud):
        _block_type_slug = "knows"  # otherwise it would replace the local cloud in this process

        def interruptions(self, offers: Sequence[Offer]) -> dict[tuple[str, str, str], Rate]:
            return {one.pool: of_stops(0.9, 7) for one in offers if one.instance_type == "restless"}

    market = Market.of(
        [offer("restless", usd=0.1, interruption="unknown"), offer("calm", usd=0.101, interruption="unknown")]
    )
    choice = rank(market, Requirements(), Work(10.0), {})
    assert choice.ranked[0].offer.instance_type == "restless"
    known = with_current_rates(market, choice, {"here": KnowingCloud()})
    first, second = (one.offer for one in rank(known, Requirements(), Work(10.0), {}).ranked)
    assert (first.instance_type, first.interruption, first.interruption_basis) == ("calm", "unknown", None)
    assert (second.interruption, second.interruptions_per_h) == ("high", pytest.approx(0.9 / 8.2))
    assert second.interruption_basis == of_stops(0.9, 7).basis
    assert with_current_rates(market, choice, {"there": KnowingCloud()}) is market


def test_an_offer_is_explained_by_its_place_and_terms() -> None:
    market = Market.of([offer("a", usd=0.1), offer("b", usd=0.2), offer("small", vcpus=1)])
    found, choice = explain(market, ["b", "r1"], Requirements(min_vcpus=2), Work(10.0))
    assert [(one.offer.instance_type, one.place, one.why_not) for one in found] == [("b", 2, None)]
    assert found[0].ranked.expected_usd == choice.ranked[1].expected_usd
    found, _ = explain(market, ["small"], Requirements(min_vcpus=2), Work(10.0))
    assert [(one.place, one.why_not) for one in found] == [(None, "min_vcpus = 2")]
    assert explain(market, ["nimbus"], Requirements(), Work(10.0))[0] == []


def test_waiting_may_help_if_only_prices_exclude_all_offers() -> None:
    market = Market.of([offer("a", usd=0.3), offer("small", vcpus=1, usd=0.1)])
    dear = rank(market, Requirements(min_vcpus=2, max_usd_h=0.2), Work(1.0), {})
    assert not dear.ranked
    assert dear.may_change == "NoOffer"
    never = rank(market, Requirements(min_vcpus=64, max_usd_h=0.2), Work(1.0), {})
    assert not never.ranked
    assert never.may_change is None
    assert rank(market, Requirements(min_vcpus=64), Work(1.0), {}).may_change is None
    assert rank(market, Requirements(), Work(1.0), {}).may_change is None


def test_the_ranking_has_the_best_of_every_family() -> None:
    """If a quota excludes a whole family, other offers must be left to try."""
    many = [offer(f"t{n}", usd=0.1 + n / 1000, family="t") for n in range(KEPT + 20)]
    others = [offer(f"o{n}", usd=1.0 + n, family=f"o{n // 2}") for n in range(6)]
    ranked = rank(Market.of(many + others), Requirements(), Work(10.0), {}).ranked
    assert [one.offer.instance_type for one in ranked[KEPT:]] == ["o0", "o2", "o4"]


def test_refused_offers_and_all_they_cover_are_ranked_last() -> None:
    """The ranking of the next round starts with offers that were not tried yet."""
    cheap = [
        offer(f"c{n}", usd=0.1 + n / 1000, cloud="aws", region="r1", zone=f"r1{zone}")
        for n in range(3)
        for zone in "ab"
    ]
    dear = offer("d", usd=1.0, cloud="aws", region="r2")
    scope = Scope(cloud=dear.cloud, region="r1")
    refusal = Refusal(offer=cheap[0], kind="closed", reason="a policy", scope=scope)
    ranked = rank(Market.of([*cheap, dear]), Requirements(), Work(10.0), {}, refused=[refusal]).ranked
    assert [one.offer.region for one in ranked] == ["r2"] + ["r1"] * len(cheap)
    assert ranked[0].cooling is None
    assert {one.cooling for one in ranked[1:]} == {"refused (closed) in the last round"}
