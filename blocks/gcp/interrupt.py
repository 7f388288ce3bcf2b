"""A preemption on demand: a simulated host maintenance, for which a spot VM is preempted instead of moved.

Source: Compute Engine API v1, instances.simulateMaintenanceEvent; the guide "Simulate a host maintenance event" names
spot VMs as a use of it.
"""

from __future__ import annotations

from spotwave.blocks.gcp.clients import Clients
from spotwave.blocks.gcp.operations import is_done
from spotwave.blocks.gcp.refusals import refusal_in
from spotwave.blocks.models import InterruptionMethod, Machine

REHEARSAL = InterruptionMethod(
    "preempted by Google (simulateMaintenanceEvent), within minutes", notice=True, within_s=300.0
)


def preempt(clients: Clients, machine: Machine, patience_s: float) -> None:
    """Returns when it has been accepted. Raises FAILURES, and a LaunchRefused that the operation tells at once."""
    operation = clients.instances.simulate_maintenance_event_unary(
        project=clients.project, zone=str(machine.zone), instance=machine.id, **Clients.call(patience_s)
    )
    if is_done(operation) and (refused := refusal_in(operation)) is not None:
        raise refused
