"""What a machine is that its cloud does not know: not seen yet, or gone.

The clouds' APIs are eventually consistent: for a while after a launch a description may come from a replica that has
not heard of the machine (Amazon EC2 API Reference, "Eventual consistency"; Azure Resource Manager, "Resolve errors for
resource not found"; Compute Engine lists likewise). So a machine is only taken for gone where the cloud says that it
has ended, or where it is old enough to be known everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spotwave.blocks.models import Machine, MachineState

UNSEEN_S = 90.0  #: how long a machine may be unknown to the service that has made it


def state_of_unlisted(machine: Machine) -> MachineState:
    """PENDING or GONE, by the machine's age; of one that the cloud does not tell to have ended."""
    young = datetime.now(UTC) - machine.launched_at < timedelta(seconds=UNSEEN_S)
    return MachineState.PENDING if young else MachineState.GONE
