"""The quality checks: what is published, what is held back, and the messages."""

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


def test_ordinary_snapshot_passes() -> None:
    verdict = judged(night(usd=0.11), night(), SOON)
    assert (verdict.objections, verdict.remarks) == ([], [])


def test_first_snapshot_passes_with_a_remark() -> None:
    assert judged(night(), None, SOON).objections == []
    assert "first snapshot" in judged(night(), None, SOON).remarks[0]


@pytest.mark.parametrize("accepted", [False, True])
def test_an_empty_market_never_passes(accepted: bool) -> None:
    assert judged(Market.of([]), night(), SOON + timedelta(days=30), accepted).objections == ["no offers"]


@pytest.mark.parametrize(
    ("fresh", "message"),
    [
        (night(regions=17), "3 of 20 regions gone: r17, r18, r19"),
        (night(types=17), "3 of 20 families gone: f17, f18, f19"),
        (night(regions=20, types=17), "15% fewer offers: 340, before 400"),
        (night(usd=0.2), "100% of the prices changed by more than a factor of 1.5"),
        (night(usd=0.05), "100% of the prices changed by more than a factor of 1.5"),
    ],
)
def test_a_mass_change_is_held_back_until_it_is_accepted_or_old(fresh: Market, message: str) -> None:
    assert message in judged(fresh, night(), SOON).objections
    accepted = judged(fresh, night(), SOON, accepted=True)
    assert accepted.objections == []
    assert f"{message} (accepted)" in accepted.remarks
    late = judged(fresh, night(), NOW + timedelta(days=4))
    assert late.objections == []
    assert message in late.remarks


def test_one_missing_region_is_only_a_remark() -> None:
    verdict = judged(night(regions=19), night(), SOON)
    assert verdict.objections == []
    assert verdict.remarks == ["1 of 20 regions gone: r19"]


def test_offers_that_are_all_new_are_a_mass_change() -> None:
    other = Market.of([an_offer(instance_type=f"g{n}.large", family="f0", region="r0") for n in range(400)])
    assert any("none of the earlier offers" in text for text in judged(other, night(), SOON).objections)


def test_age_is_that_of_the_offers() -> None:
    assert judged(night(usd=0.2), night(), datetime(2026, 1, 3, tzinfo=UTC)).objections
