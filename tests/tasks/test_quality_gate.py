"""The quality gate: what is published, what is held back, and what is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spotwave.blocks.market import Market
from spotwave.tasks.market.quality_gate import judged
from tests.blocks.test_market import NOW, an_offer


def night(regions: int = 20, types: int = 20, usd: float = 0.1) -> Market:
    return Market.of(
        an_offer(region=f"r{r}", zone=f"r{r}a", instance_type=f"f{t}.large", family=f"f{t}", spot_usd_h=usd)
        for r in range(regions)
        for t in range(types)
    )


SOON = NOW + timedelta(days=1)


def test_an_ordinary_night_passes() -> None:
    verdict = judged(night(usd=0.11), night(), SOON)
    assert (verdict.objections, verdict.remarks) == ([], [])


def test_the_first_night_passes_and_says_so() -> None:
    assert judged(night(), None, SOON).objections == []
    assert "first snapshot" in judged(night(), None, SOON).remarks[0]


@pytest.mark.parametrize("accepted", [False, True])
def test_an_empty_market_never_passes(accepted: bool) -> None:
    assert judged(Market.of([]), night(), SOON + timedelta(days=30), accepted).objections == ["no offers"]


@pytest.mark.parametrize(
    ("fresh", "says"),
    [
        (night(regions=17), "3 of 20 regions gone: r17, r18, r19"),
        (night(types=17), "3 of 20 families gone: f17, f18, f19"),
        (night(regions=20, types=17), "15% fewer offers: 340, before 400"),
        (night(usd=0.2), "100% of the prices changed by more than a factor of 1.5"),
        (night(usd=0.05), "100% of the prices changed by more than a factor of 1.5"),
    ],
)
def test_a_mass_change_is_held_back_until_it_is_accepted_or_old(fresh: Market, says: str) -> None:
    assert says in judged(fresh, night(), SOON).objections
    accepted = judged(fresh, night(), SOON, accepted=True)
    assert accepted.objections == []
    assert f"{says} (accepted)" in accepted.remarks
    late = judged(fresh, night(), NOW + timedelta(days=4))
    assert late.objections == []
    assert says in late.remarks


def test_one_region_missing_is_remarked_only() -> None:
    verdict = judged(night(regions=19), night(), SOON)
    assert verdict.objections == []
    assert verdict.remarks == ["1 of 20 regions gone: r19"]


def test_offers_that_are_all_new_are_a_mass_change() -> None:
    other = Market.of([an_offer(instance_type=f"g{n}.large", family="f0", region="r0") for n in range(400)])
    assert any("none of the earlier offers" in text for text in judged(other, night(), SOON).objections)


def test_the_age_is_counted_from_the_offers_themselves() -> None:
    assert judged(night(usd=0.2), night(), datetime(2026, 1, 3, tzinfo=UTC)).objections
