"""Capacity of this computer for local machines: its vCPUs and its memory, never shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotwave.blocks.models import Machine, Offer

_SHOWN = 3  # number of machines named in a message


@dataclass(frozen=True)
class LocalCapacity:
    """The real capacity, or the pretended one."""

    vcpus: int
    memory_gib: float

    def free(self, held: Sequence[Machine]) -> tuple[int, float]:
        """Return the (vCPUs, memory in GiB) left by those machines. Values from their tags are clamped to the range
        from 0 to the capacity."""
        vcpus = sum(min(max(0, one.offer.vcpus), self.vcpus) for one in held)
        memory_gib = sum(min(max(0.0, one.offer.memory_gib), self.memory_gib) for one in held)
        return max(0, self.vcpus - vcpus), max(0.0, self.memory_gib - memory_gib)

    def lacks(self, offer: Offer, held: Sequence[Machine], count: int = 1) -> str | None:
        """Return why there is no room for `count` machines of the offer beside those; None if there is."""
        vcpus, memory_gib = self.free(held)
        if count * offer.vcpus <= vcpus and count * offer.memory_gib <= memory_gib + 0.001:
            return None
        names = ", ".join(one.id for one in held[:_SHOWN]) + (", ..." if len(held) > _SHOWN else "")
        each = f"{count} x {offer.instance_type}, each with" if count > 1 else f"{offer.instance_type} needs"
        return (
            f"local: {each} {offer.vcpus} vCPUs and {offer.memory_gib:.2f} GiB; of this "
            f"computer's {self.vcpus} and {self.memory_gib:.2f}, {vcpus} and {memory_gib:.2f} are free"
            + (f" beside {names}" if held else "")
        )
