from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Offer, Requirements

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_offer(**changes: Any) -> Offer:
    usual = {
        "cloud": "aws",
        "instance_type": "c7i.xlarge",
        "region": "eu-central-1",
        "zone": "eu-central-1a",
        "family": "c7i",
        "vcpus": 4,
        "cores": 2.0,
        "memory_gib": 8.0,
        "architecture": "x86_64",
        "spot_usd_h": 0.1,
        "notice_s": 120.0,
        "seen_at": NOW,
    }
    return Offer.model_validate({**usual, **changes})


@pytest.mark.parametrize(
    ("offer", "asked", "reason"),
    [
        ({}, {}, None),
        ({"vcpus": 2}, {"min_vcpus": 4}, "min_vcpus = 4"),
        ({"vcpus": 4}, {"min_vcpus": 4, "max_vcpus": 4}, None),
        ({"vcpus": 8}, {"max_vcpus": 4}, "max_vcpus = 4"),
        ({"memory_gib": 7.99}, {"min_memory_gib": 8}, "min_memory_gib = 8"),
        ({"memory_gib": 16}, {"max_memory_gib": 8}, "max_memory_gib = 8"),
        ({"architecture": "arm64"}, {"architectures": ["x86_64"]}, "architectures = x86_64"),
        ({"architecture": "arm64"}, {}, None),
        ({}, {"clouds": ["local", "gcp"]}, "clouds = local, gcp"),
        ({}, {"regions": ["us-east-1"]}, "regions = us-east-1"),
        ({}, {"not_regions": ["eu-central-1"]}, "not_regions = eu-central-1"),
        ({"spot_usd_h": 0.2}, {"max_usd_h": 0.1}, "max_usd_h = 0.1"),
        ({"spot_usd_h": 0.1}, {"max_usd_h": 0.1}, None),
        ({"spot_usd_h": 0.0}, {}, None),
        ({"spot_usd_h": -0.1}, {}, "a price of at least 0"),
        ({"gpu": "L4", "gpu_count": 1}, {}, "gpu_count = 0"),
        ({"gpu": "L4", "gpu_count": 1}, {"gpu": "L4"}, None),
        ({"gpu": "L4", "gpu_count": 1}, {"gpu": "L4", "gpu_count": 2}, "gpu_count = 2"),
        ({"gpu": "T4", "gpu_count": 1}, {"gpu": "L4"}, "gpu = L4"),
        ({}, {"gpu": "L4"}, "gpu_count = 1"),
        ({"gpu": "A100", "gpu_count": 8}, {"gpu": "nvidia-tesla-a100"}, None),
        ({"gpu": "A100", "gpu_count": 8}, {"gpu": "A100 40GB"}, None),
        ({"gpu": "A100 80GB", "gpu_count": 8}, {"gpu": "A100"}, "gpu = A100"),
        ({"gpu": "A100 80GB", "gpu_count": 8}, {"gpu": "a100-80gb"}, None),
        ({"gpu": "A10", "gpu_count": 1 / 6, "gpu_memory_gib": 4}, {"gpu": "A10"}, "gpu_count = 1"),
        ({"gpu": "L4", "gpu_count": 1, "gpu_memory_gib": 24}, {"min_gpu_memory_gib": 24}, None),
        ({"gpu": "L4", "gpu_count": 1, "gpu_memory_gib": 24}, {"min_gpu_memory_gib": 40}, "min_gpu_memory_gib = 40"),
        ({"gpu_count": 1}, {"min_gpu_memory_gib": 1}, "min_gpu_memory_gib = 1"),  # unknown memory does not fit
        ({}, {"min_gpu_memory_gib": 16}, "gpu_count = 1"),
        ({}, {"gpu": ""}, None),
        ({"burstable": True}, {}, "burstable = no"),
        ({"burstable": True}, {"burstable": True}, None),
        ({"bare_metal": True}, {}, "bare_metal = no"),
        ({"bare_metal": True}, {"bare_metal": True}, None),
    ],
)
def test_first_unmet_requirement_is_reported(offer: dict[str, Any], asked: dict[str, Any], reason: str | None) -> None:
    judged = Market.of([an_offer(**offer)]).judged(Requirements.model_validate(asked))
    assert judged["why_not"].to_list() == [reason]


def random_market(dice: random.Random) -> Market:
    return Market.of(
        an_offer(
            cloud=dice.choice(["aws", "gcp", "local"]),
            region=dice.choice(["a", "b", "c"]),
            zone=dice.choice([None, "z"]),
            vcpus=dice.choice([1, 2, 4, 64]),
            memory_gib=dice.choice([0.5, 2, 8, 512]),
            architecture=dice.choice(["x86_64", "arm64"]),
            gpu=dice.choice([None, "L4"]),
            gpu_count=dice.choice([0, 0, 1]),
            gpu_memory_gib=dice.choice([None, 24]),
            spot_usd_h=dice.choice([0, 0.01, 1, 10]),
            burstable=dice.random() < 0.3,
            bare_metal=dice.random() < 0.3,
        )
        for _ in range(dice.randrange(40))
    )


def random_requirements(dice: random.Random) -> Requirements:
    def sometimes(*values: Any) -> Any:
        return dice.choice([None, None, *values])

    asked = {
        "min_vcpus": sometimes(1, 2, 4),
        "max_vcpus": sometimes(2, 4, 64),
        "min_memory_gib": sometimes(1, 8),
        "max_memory_gib": sometimes(8, 64),
        "architectures": sometimes(["x86_64"], ["arm64"]),
        "gpu": sometimes("L4"),
        "gpu_count": sometimes(1),
        "min_gpu_memory_gib": sometimes(16, 40),
        "clouds": sometimes(["aws"], ["aws", "local"]),
        "regions": sometimes(["a", "b"]),
        "not_regions": sometimes(["b"]),
        "max_usd_h": sometimes(0.0, 0.5),
        "burstable": sometimes(True),
        "bare_metal": sometimes(True),
    }
    return Requirements.model_validate({key: value for key, value in asked.items() if value is not None})


@pytest.mark.parametrize("seed", range(40))
def test_eligible_offers_are_those_without_a_reason(seed: int) -> None:
    dice = random.Random(seed)
    market, asked = random_market(dice), random_requirements(dice)
    judged = market.judged(asked)
    assert judged.height == len(market)
    assert judged.drop("why_not", "misses").equals(market.frame)
    assert judged["why_not"].is_null().equals(judged["misses"] == 0, check_names=False)
    free = judged.filter(pl.col("why_not").is_null()).drop("why_not", "misses")
    eligible = market.eligible(asked)
    assert eligible.frame.equals(free)
    assert eligible.eligible(asked).frame.equals(free)
    for row in offers_of(eligible.frame):
        assert row.vcpus >= asked.min_vcpus
        assert row.memory_gib >= asked.min_memory_gib
        assert row.architecture in asked.architectures
        assert not asked.clouds or row.cloud in asked.clouds
        assert asked.max_usd_h is None or row.spot_usd_h <= asked.max_usd_h


def test_offers_are_unchanged_by_the_table() -> None:
    offers = [an_offer(), an_offer(zone=None, gpu="L4", gpu_count=2, interruptions_per_h=0.05, on_demand_usd_h=0.4)]
    assert offers_of(Market.of(offers).frame) == offers
    assert len(Market.of([])) == 0
    assert Market.of([]).seen_at is None


def test_merged_market_has_the_time_of_its_oldest_offer() -> None:
    old = Market.of([an_offer(seen_at=NOW - timedelta(hours=1))])
    merged = Market.merged([old, Market.of([an_offer()]), Market.of([])])
    assert len(merged) == 2
    assert merged.seen_at == NOW - timedelta(hours=1)
    assert len(Market.merged([])) == 0


def test_table_with_other_columns_is_rejected() -> None:
    with pytest.raises(ValueError, match="columns"):
        Market(pl.DataFrame({"cloud": ["aws"]}))
    with pytest.raises(ValueError, match="columns"):
        Market(Market.of([an_offer()]).frame.with_columns(vcpus=pl.col("vcpus").cast(pl.Int64)))


def test_offer_of_an_earlier_version_is_still_read() -> None:
    fields = an_offer().model_dump(exclude={"family", "cores", "boot_s", "disk_usd_gib_month", "zone_id"})
    assert Offer.model_validate(fields).cores == 4
