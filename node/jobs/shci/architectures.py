"""The CPUs that a program runs on."""

from __future__ import annotations

from typing import Literal

Architecture = Literal["x86_64", "arm64"]  #: as the offers name them
EVERY_ARCHITECTURE: tuple[Architecture, ...] = ("x86_64", "arm64")
