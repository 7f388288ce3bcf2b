"""Eviction on demand: Azure's simulated eviction, with the notice and the policy of a real one.

Source: Azure Compute REST API, Virtual Machines - Simulate Eviction (204; the eviction follows within 30 minutes).
"""

from __future__ import annotations

from spotwave.blocks.azure.clients import Clients
from spotwave.blocks.azure.refusals import asked
from spotwave.blocks.azure.resource_ids import resource_id
from spotwave.blocks.models import InterruptionMethod, Machine

REHEARSAL = InterruptionMethod("evicted by Azure (simulateEviction), within 30 minutes", notice=True, within_s=1800.0)


def evict(clients: Clients, machine: Machine) -> None:
    """Request the eviction. Raises a LaunchRefused."""
    its = resource_id(machine.id)
    with asked("the simulated eviction"):
        clients.compute.virtual_machines.simulate_eviction(its.group, its.name)
