"""Machines are recovered from their tags; one with damaged tags is still found, since it bills."""

from __future__ import annotations

from datetime import UTC, datetime

from spotwave.blocks.models import Machine, Offer
from spotwave.blocks.tags import in_pieces, machine_from, offer_in, tags_of
from tests.blocks.machine_kit import brief, offer

SEEN = datetime(2026, 1, 1, tzinfo=UTC)
LONG = Offer.model_validate(offer().model_dump() | {"cloud": "aws", "zone": "here-1", "on_demand_usd_h": 0.123456789})


def read(tags: dict[str, str]) -> Machine | None:
    return machine_from(tags, offer_in(tags), cloud="aws", id_="i-1", region="here", zone="here-1", launched_at=SEEN)


def test_machine_is_recovered_from_its_tags() -> None:
    given = brief()
    tags = {**tags_of(given), **in_pieces(LONG), "Name": "of the user's own", "spotwave-offer-of-old": "x"}
    assert all(len(value) <= 200 for value in tags.values())
    assert len(in_pieces(LONG)) > 1
    machine = read(tags)
    assert machine is not None
    assert machine.offer == LONG
    assert (machine.job_key, machine.attempt, machine.name) == (given.brief.job_key, 1, given.brief.name)
    assert machine.deadline == int(given.brief.deadline)
    assert machine.disk_gib == given.disk_gib


def test_resource_without_tags_is_no_machine_but_one_with_damaged_tags_is() -> None:
    assert read({"Name": "somebody's"}) is None
    assert read({"spotwave": ""}) is None
    for damaged in ({}, {"spotwave-attempt": "first", "spotwave-deadline": "never"}, {"spotwave-offer-0": "%"}):
        machine = read({"spotwave": "sw-0123456789ab", **damaged})
        assert machine is not None
        assert machine.offer.instance_type == "unknown"
        assert (machine.attempt, machine.deadline, machine.disk_gib) == (0, None, 0.0)
