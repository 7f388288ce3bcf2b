"""GPUs of a size by its name. Resource SKUs do not report the model, and count a part of a GPU as one or none.

Source: Azure documentation, "GPU accelerated VM sizes", the table "Accelerators" of each series; for the sizes of
RTXPRO6000BSE_v6 that are missing there, Azure's price calculator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from spotwave.blocks.gpus import Card, card

_SIXTHS = {4: 1 / 6, 8: 1 / 3, 12: 1 / 2, 24: 1.0, 28: 1.0}
_RTX_PRO = {24: 0.25, 36: 0.25, 72: 0.5, 144: 1.0, 288: 2.0, 128: 1.0, 256: 2.0, 320: 2.0}

# By the name without its tier: (card, GPUs by the number in the size's name). None: count from the SKU, always whole.
_SERIES: tuple[tuple[str, str, dict[int, float] | None], ...] = (
    (r"NV(\d+)adm?s_A10_v5", "A10", {6: 1 / 6, 12: 1 / 3, 18: 1 / 2, 36: 1.0, 72: 2.0}),
    (r"NV(\d+)adm?s_V710_v5", "V710", _SIXTHS),
    (r"NG(\d+)adm?s_V620_v1", "V620", {8: 0.25, 16: 0.5, 32: 1.0}),
    (r"NV(\d+)as_v4", "MI25", {4: 0.125, 8: 0.25, 16: 0.5, 32: 1.0}),
    (r"NC(\d+)[lm]?ds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", _RTX_PRO),
    (r"NC(\d+)as_T4_v3", "T4", {4: 1.0, 8: 1.0, 16: 1.0, 64: 4.0}),
    (r"NC(\d+)ads_A100_v4", "A100 80GB", {24: 1.0, 48: 2.0, 96: 4.0}),
    (r"NC(\d+)ads_A10_v4", "A10", None),
    (r"NCC?(\d+)adi?s_H100_v5", "H100 NVL", {40: 1.0, 80: 2.0}),
    (r"ND(\d+)\w*_H100_v5", "H100", None),
    (r"ND(\d+)\w*_H200_v5", "H200", None),
    (r"ND(\d+)\w*_GB200_v6", "GB200", {128: 4.0}),
    (r"ND(\d+)\w*_GB300_v6", "GB300", {128: 4.0}),
    (r"ND(\d+)isr?_MI300X_v5", "MI300X", {96: 8.0}),
    (r"ND(\d+)amsr?_A100_v4", "A100 80GB", None),
    (r"ND(\d+)asr_v4", "A100", None),
    (r"ND(\d+)rs_v2", "V100 32GB", None),
    (r"NC(\d+)r?s_v3", "V100", None),
    (r"NC(\d+)r?s_v2", "P100", None),
    (r"NC(\d+)r?(?:_Promo)?", "K80", None),
    (r"ND(\d+)r?s", "P40", None),
    (r"NV(\d+)s_v[23]", "M60", None),
    (r"NV(\d+)(?:_Promo)?", "M60", None),
)
_PATTERNS = [(re.compile(pattern), name, counts) for pattern, name, counts in _SERIES]
# NP has FPGAs, NM video encoders; Resource SKUs list both as GPUs.
_NO_GPU = re.compile(r"Standard_N[MP]\d")


@dataclass(frozen=True)
class Gpus:
    """GPUs as derived from a size's name."""

    card: Card | None  #: None: unknown series
    count: float | None = None  #: below 1: a part of one; None: not in the name
    parts: bool = False  #: a series that is sold in parts: if `count` is None, the count is unknown


@lru_cache(maxsize=4096)
def gpus(size: str) -> Gpus | None:
    """Return the GPUs of a size of the N series; None for other sizes, and for accelerators that are not GPUs."""
    if not size.startswith("Standard_N") or _NO_GPU.match(size):
        return None
    for pattern, name, counts in _PATTERNS:
        if found := pattern.fullmatch(size.removeprefix("Standard_")):
            if counts is None:
                return Gpus(card(name))
            return Gpus(card(name), counts.get(int(found[1])), parts=min(counts.values()) < 1)
    return Gpus(None)


def no_gpu(size: str) -> bool:
    """Whether a size of the N series has accelerators that are not GPUs."""
    return _NO_GPU.match(size) is not None
