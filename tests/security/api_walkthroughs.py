"""Walkthroughs that make each call of a cloud's code once, for the tests of the permission policies."""

from __future__ import annotations

from datetime import UTC, datetime

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.models import Finding, Machine
from tests.blocks.machine_kit import CLOUD_HEAD

# The calls that a machine makes to its cloud: node/clouds as included in the user data.
MACHINE = (
    CLOUD_HEAD
    + """python3 -c 'import cloud; cloud.PAUSES_S = (); cloud.keep("kept", cloud.secret())'
touch up
while [ ! -e end ]; do sleep 0.05; done
python3 -c 'import cloud; cloud.PAUSES_S = (); cloud._PATIENCE_S = 0; cloud.end()'
touch ended
poweroff
"""
)


def looked_at(cloud: Cloud) -> list[Finding]:
    """Make all read-only calls: market with catalogue, machines, leftovers, the check."""
    assert cloud.market().frame.height > 0
    cloud.find()
    return list(cloud.check())


def billed(cloud: Cloud, machine: Machine) -> None:
    """Make the calls that a bill needs."""
    cloud.prices_held(machine, datetime.now(UTC))
    cloud.billed_until(machine)


def removed(cloud: Cloud, *kinds: str) -> None:
    """Remove all leftovers, which must include each of these kinds."""
    left = cloud.leftovers()
    assert {one.kind for one in left} >= set(kinds)
    for one in left:
        cloud.remove(one)
    assert cloud.leftovers() == []
