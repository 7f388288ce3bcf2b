"""Every call that a wing can make, made once: what the tests of the policies walk through."""

from __future__ import annotations

from datetime import UTC, datetime

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.models import Finding, Machine
from tests.blocks.machine_kit import CLOUD_HEAD

# What a machine does by its cloud's own means, and no more: node/clouds as the user data carries it.
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
    """All that only reads: the market with its catalogue, what is rented, what was left, the check."""
    assert cloud.market().frame.height > 0
    cloud.find()
    return list(cloud.check())


def billed(cloud: Cloud, machine: Machine) -> None:
    """What a receipt asks."""
    cloud.prices_held(machine, datetime.now(UTC))
    cloud.billed_until(machine)


def removed(cloud: Cloud, *kinds: str) -> None:
    """All leftovers, of which each of these kinds must be one."""
    left = cloud.leftovers()
    assert {one.kind for one in left} >= set(kinds)
    for one in left:
        cloud.remove(one)
    assert cloud.leftovers() == []
