"""Parse the output of Dice."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

from spotwave.node.jobs.shci.programs.base import Energies, Iteration, Stage
from spotwave.node.jobs.shci.programs.dice_checkpoint import Archive

_NUMBER = r"(-?\d+\.\d+(?:[eE][+-]\d+)?)"
# Iter Root Eps1 #Var.Det. Energy #Davidson Time; a restart first prints the stored one, with a dash, no #Davidson.
_ITERATION = re.compile(rf"\s*(\d+)\s+0\s+\S+\s+([\d.e+]+)\s+{_NUMBER}\s+\d+\s+{_NUMBER}\s*$")
_READ_BACK = re.compile(r"\s*\d+\s+0\s+\S+\s+[\d.e+]+\s+-\s")
_VARIATIONAL = re.compile(rf"\s*0\s+{_NUMBER}\s+{_NUMBER}\s*$")
_CORRECTED = re.compile(rf"\s*PTEnergy:\s+{_NUMBER}(?:\s+\+/-\s+(\S+))?\s*$")
_COMMIT = re.compile(r"\s*Commit:\s+([0-9a-f]{7})")
_BANNER = re.compile(r".*\bv(\d+\.\d+)\s*$")


class DiceReader:
    """Parses one run of Dice, and collects its restart files when they do not change."""

    def __init__(self, archive: Archive, folder: Path, target: Path) -> None:
        self._archive = archive
        self._folder = folder
        self._target = target
        self._offset = archive.iterations[-1].number if archive.iterations else 0
        self._iterations: list[Iteration] = list(archive.iterations)
        self._read_at: list[tuple[float, Iteration]] = []
        self._stage = Stage.VARIATIONAL
        self._in_result = False
        self._variational: float | None = None
        self._total: float | None = None
        self._error_bar: float | None = None
        self._version: list[str] = []
        self._well_ended = False

    @property
    def stage(self) -> Stage:
        return self._stage

    def line(self, text: str) -> Iteration | None:
        if self._stage is Stage.VARIATIONAL and not self._in_result:
            if match := _ITERATION.match(text):
                try:
                    return self._iteration(match)
                except (ValueError, OverflowError):
                    return None  # implausible values
            if match := (_BANNER.match(text) if not self._version else None) or _COMMIT.match(text):
                self._version.append(match[1])
        if text.startswith("Variational calculation result"):
            self._in_result = True
        elif self._in_result and self._variational is None and (match := _VARIATIONAL.match(text)):
            self._variational = float(match[1])
        elif text.startswith("PERTURBATION THEORY STEP"):
            self._stage = Stage.PERTURBATIVE
        elif match := _CORRECTED.match(text):  # the last match counts: first the deterministic part, then the sum
            self._total = float(match[1])
            self._error_bar = _error_bar(match[2])
        elif text.startswith("Returning without error"):
            self._well_ended = True
            self._stage = Stage.FINISHED
        return None

    def tick(self) -> None:
        self._archive.gather(self._folder, self._target, self._read_at)

    def energies(self) -> Energies:
        if self._variational is None:
            raise ValueError("printed no variational energy")
        if self._total is None:
            raise ValueError("printed no energy with perturbative correction (PTEnergy)")
        if not self._well_ended:
            raise ValueError("did not report that it returned without error")
        return Energies(
            program="dice",
            version=" ".join(self._version),
            variational_energy=self._variational,
            total_energy=self._total,
            determinants=self._iterations[-1].determinants if self._iterations else None,
            error_bar=self._error_bar,
            iterations=list(self._iterations),
        )

    def _iteration(self, match: re.Match[str]) -> Iteration:
        iteration = Iteration(
            number=self._offset + int(match[1]) + 1,
            determinants=int(float(match[2])),
            variational_energy=float(match[3]),
            seconds=float(match[4]),
        )
        self._iterations.append(iteration)
        self._read_at.append((time.time(), iteration))
        return iteration


def _error_bar(text: str | None) -> float | None:
    """Parse an error bar. Text that is not a number becomes NaN, which is refused with the final result."""
    try:
        return float(text) if text else None
    except ValueError:
        return math.nan
