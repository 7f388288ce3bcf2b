"""A cloud whose prices are read and whose machines are not rented yet."""

from __future__ import annotations

from abc import ABC

from blocks.cloud import Cloud, LaunchBrief, Machine, MachineState, Misconfigured, Offer


class PricesOnly(Cloud, ABC):
    """Says so when a machine is asked for. Nothing of ours can run there, so there is nothing to find or end."""

    def launch(self, offer: Offer, brief: LaunchBrief) -> Machine:
        raise Misconfigured(f"{self.kind}: its prices are read, but machines are not launched there yet; name 'local'")

    def find(self, job_key: str | None = None) -> list[Machine]:
        return []

    def state(self, machine: Machine) -> MachineState:
        return MachineState.GONE

    def terminate(self, machine: Machine) -> None:
        """Nothing to do: see `launch`."""
