"""State of a machine that its cloud does not list: not visible yet, or gone.

The clouds' APIs are eventually consistent: for a while after a launch, a description may come from a replica that does
not have the machine yet (Amazon EC2 API Reference, "Eventual consistency"; Azure Resource Manager, "Resolve errors for
resource not found"; lists of Compute Engine behave alike). So a machine only counts as gone if the cloud reports that
it has ended, or if it is old enough to be visible everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spotwave.blocks.models import Machine, MachineState

UNSEEN_S = 90.0  #: how long a new machine may be invisible to the service that created it


def state_of_unlisted(machine: Machine) -> MachineState:
    """Return PENDING or GONE by the machine's age, for a machine whose end the cloud has not reported."""
    young = datetime.now(UTC) - machine.launched_at < timedelta(seconds=UNSEEN_S)
    return MachineState.PENDING if young else MachineState.GONE
