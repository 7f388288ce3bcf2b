"""GPU models that clouds rent. One name means one card with one memory size, whatever each cloud calls it.

Memory sizes are told apart: "A100" has 40 GiB, "A100 80GB" is a separate name. The memory is the manufacturer's
figure; the memory visible to a program is up to a tenth less (error correction, the driver).
Sources: NVIDIA's and AMD's product pages; EC2 DescribeInstanceTypes (GpuInfo); Compute Engine, "GPU machine types";
Azure, "GPU accelerated VM sizes".
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

_NEAREST = 3
_SAME_MEMORY = 0.2  # tolerance, relative to the stated memory: EC2 reports 22.4 for an L4 of 24 GiB


@dataclass(frozen=True)
class Card:
    """A GPU, as named in offers."""

    name: str
    memory_gib: float
    model: str = ""  #: common name of cards that differ only in memory; empty: `name`
    also: tuple[str, ...] = ()  #: other names that clouds use for it

    def part_gib(self, count: float) -> float:
        """Return the memory of each GPU in a machine with `count` of them, GiB; a count below 1 is a part of one."""
        return self.memory_gib * min(1.0, count)


CARDS: tuple[Card, ...] = (
    Card("A10", 24),
    Card("A100", 40),
    Card("A100 80GB", 80, "A100"),
    Card("A10G", 24),
    Card("B200", 180),
    Card("B300", 288),
    Card("GB200", 192),
    Card("GB300", 288),
    Card("H100", 80, also=("H100 80GB Mega", "H100 Mega 80GB", "H100 80GB Plus")),
    Card("H100 NVL", 94, "H100"),
    Card("H200", 141),
    Card("K80", 12),  # per GPU; a board has two
    Card("L4", 24),
    Card("L40S", 48),
    Card("M60", 8),  # per GPU; a board has two
    Card("MI25", 16, also=("Radeon Instinct MI25",)),
    Card("MI300X", 192),
    Card("P100", 16),
    Card("P4", 8),
    Card("P40", 24),
    Card("RTX PRO 4500", 32),
    Card("RTX PRO 6000", 96, also=("RTX 6000 96GB", "RTX PRO Server 6000")),
    Card("Radeon Pro V520", 8, also=("V520",)),
    Card("T4", 16),
    Card("T4g", 16),
    Card("V100", 16),
    Card("V100 32GB", 32, "V100"),
    Card("V620", 32, also=("Radeon Pro V620",)),
    Card("V710", 24, also=("Radeon Pro V710",)),
)

_NOISE = re.compile(r"nvidia|amd|tesla|instinct|gpu|blackwell|server|edition|bse|sxm\d?|pcie")
_GIGABYTES = re.compile(r"(?<=[\s_-])(\d{2,3})\s*gi?b?\b|(\d{2,3})\s*gi?b\b")


def card(name: str) -> Card | None:
    """Return the card for a name in any spelling: 'A100-40GB', 'nvidia-tesla-a100' and 'a100' are the same."""
    return _by_key().get(_key(name))


def card_of(model: str, memory_gib: float) -> Card | None:
    """Return the card with this model name and about this much memory (GiB), as a cloud reports them; None if none."""
    found = card(model)
    if found is None:
        return None
    alike = [one for one in CARDS if (one.model or one.name) == (found.model or found.name)]
    nearest = min(alike, key=lambda one: abs(one.memory_gib - memory_gib))
    return nearest if abs(nearest.memory_gib - memory_gib) <= _SAME_MEMORY * nearest.memory_gib else None


def nearest(name: str) -> list[str]:
    """Return the names most similar to an unknown one, best first; empty if none is similar."""
    keys = {key: one.name for key, one in _by_key().items()}
    close = difflib.get_close_matches(_key(name), keys, n=2 * _NEAREST, cutoff=0.5)
    return list(dict.fromkeys(keys[key] for key in close))[:_NEAREST]


def unknown(name: str) -> str | None:
    """Return why a GPU cannot be requested by this name, in one line with the remedy; None if it can."""
    if card(name) is not None:
        return None
    shown = " ".join(name.split())[:40]
    close = nearest(name)
    known = f"the nearest are {', '.join(close)}" if close else f"known are {', '.join(one.name for one in CARDS)}"
    return f"'{shown}' is not a GPU of any cloud; {known}. Use one of these names."


@lru_cache(maxsize=1)
def _by_key() -> dict[str, Card]:
    found: dict[str, Card] = {}
    for one in CARDS:
        names = (one.name, *one.also, f"{one.model or one.name} {one.memory_gib:g}GB")
        found |= {_key(name): one for name in names}
    return found


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """Reduce a name to letters and digits, without manufacturer and form factor; gigabytes become '80gb'."""
    text = _GIGABYTES.sub(lambda found: f" {found[1] or found[2]}gb", name.lower())
    return re.sub(r"[^a-z0-9]", "", _NOISE.sub("", text))
