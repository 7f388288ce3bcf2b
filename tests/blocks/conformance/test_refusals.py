"""A refused launch raises a typed reason in one line with the remedy, and leaves nothing that bills."""

from __future__ import annotations

import traceback

import pytest

from spotwave.blocks.errors import Capacity, Closed, LaunchRefused, Misconfigured, Quota
from tests.blocks.conformance.wing import PLANTED, RentedWing


def refusal(rented: RentedWing) -> LaunchRefused:
    with pytest.raises(LaunchRefused) as caught:
        rented.launch()
    assert "\n" not in caught.value.reason
    assert len(caught.value.reason) < 400
    assert PLANTED not in "".join(traceback.format_exception(caught.value))
    assert set(rented.left()) <= set(rented.kept)
    assert rented.asked("launch") <= 1, "a retry would be refused too"
    return caught.value


def test_exhausted_zone_does_not_affect_others(rented: RentedWing) -> None:
    rented.emulator.exhausted.add((rented.offer.instance_type, str(rented.offer.zone)))
    refused = refusal(rented)
    assert isinstance(refused, Capacity)
    assert refused.reach == "pool"
    assert rented.launch(offer=rented.next_zone).zone == rented.next_zone.zone
    assert rented.left() == rented.parts


def test_region_without_quota_does_not_affect_others(rented: RentedWing) -> None:
    rented.no_quota(rented.offer.region)
    refused = refusal(rented)
    assert isinstance(refused, Quota)
    assert (refused.reach, refused.lasting) == ("region", False)
    assert refused.quota
    assert rented.launch(offer=rented.elsewhere).region == rented.elsewhere.region


def test_forbidden_region_does_not_affect_others(rented: RentedWing) -> None:
    rented.close(rented.offer.region)
    refused = refusal(rented)
    assert isinstance(refused, Closed)
    assert (refused.reach, refused.lasting) == ("region", True)
    assert rented.launch(offer=rented.elsewhere).region == rented.elsewhere.region


def test_missing_launch_permission_has_a_remedy(rented: RentedWing) -> None:
    rented.deny("launch")
    refused = refusal(rented)
    assert isinstance(refused, Misconfigured)
    assert (refused.reach, refused.lasting) == ("cloud", True)
    assert ";" in refused.reason
