"""CPU architectures of machines and programs."""

from __future__ import annotations

from typing import Literal

Architecture = Literal["x86_64", "arm64"]  #: named as in the offers
EVERY_ARCHITECTURE: tuple[Architecture, ...] = ("x86_64", "arm64")
