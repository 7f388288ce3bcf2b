"""Output of the bundled CI programs: lines of text, and between them JSON lines for the driver.

A JSON line starts with `{"event":` and is one of program, iteration, stage, result, note.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from spotwave.node.jobs.shci.programs.base import Energies, Iteration, Stage
from spotwave.node.untrusted.plain_text import plain
from spotwave.node.untrusted.strict_json import load_object

_MARK = '{"event":'
MOST_NOTES = 20


def say(text: str) -> None:
    """Print a line of text."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(event: str, **data: Any) -> None:
    """Print an event for the driver."""
    say(json.dumps({"event": event, **data}))


def tell_iteration(iteration: Iteration) -> None:
    tell("iteration", **asdict(iteration))


class EventReader:
    """Parses the events of one run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._version = ""
        self._notes: list[str] = []
        self._iterations: list[Iteration] = []
        self._numbers: set[int] = set()
        self._result: dict[str, Any] | None = None
        self._stage = Stage.VARIATIONAL

    @property
    def stage(self) -> Stage:
        return self._stage

    def line(self, text: str) -> Iteration | None:
        if not text.startswith(_MARK):
            return None
        try:
            data = load_object(text)
            event = data.pop("event")
            if event == "iteration":
                iteration = Iteration(**data)
                # A restart repeats the iterations of its checkpoint.
                if iteration.number not in self._numbers:
                    self._numbers.add(iteration.number)
                    self._iterations.append(iteration)
                    return iteration
            elif event == "stage":
                self._stage = Stage(data["stage"])
            elif event == "program":
                self._version = plain(str(data["version"]), 100)
            elif event == "note" and len(self._notes) < MOST_NOTES:
                self._notes.append(plain(str(data["text"])))
            elif event == "result":
                self._result = data
                self._stage = Stage.FINISHED
        except (ValueError, TypeError, KeyError):
            return None  # e.g. a line truncated by a crash; a missing result is reported at the end
        return None

    def tick(self) -> None:
        """Do nothing: bundled programs write their snapshots themselves, before they report an iteration."""

    def energies(self) -> Energies:
        if self._result is None:
            raise ValueError("printed no result")
        try:
            return Energies(
                program=self._name,
                version=self._version,
                variational_energy=self._result["variational_energy"],
                total_energy=self._result["total_energy"],
                determinants=self._result["determinants"],
                error_bar=None,
                iterations=list(self._iterations),
                note=" ".join(self._notes),
                threshold_error=self._result.get("threshold_error"),
                s_squared=self._result.get("s_squared"),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"its result is incomplete ({error})") from error
