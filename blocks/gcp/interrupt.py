"""Preemption on demand: a simulated host maintenance, for which a spot VM is preempted instead of migrated.

Source: Compute Engine API v1, instances.simulateMaintenanceEvent; the guide "Simulate a host maintenance event" lists
spot VMs as a use case.
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
    """Request the preemption; returns once accepted. Raises FAILURES, or a LaunchRefused if the operation fails."""
    operation = clients.instances.simulate_maintenance_event_unary(
        project=clients.project, zone=str(machine.zone), instance=machine.id, **Clients.call(patience_s)
    )
    if is_done(operation) and (refused := refusal_in(operation)) is not None:
        raise refused
