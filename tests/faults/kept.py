"""Verdicts in a file, one per line, so that a long matrix can be continued later."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from tests.faults.fault_catalog import Case
from tests.faults.verdict import Verdict


class Kept:
    """path: None keeps nothing. Only good verdicts are kept; failed cases are run again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.verdicts: list[Verdict] = []
        if path is not None and path.exists():
            self.verdicts = list({one.case: one for one in map(_read, path.read_text().splitlines())}.values())

    def add(self, verdict: Verdict) -> None:
        self.verdicts = [one for one in self.verdicts if one.case != verdict.case] + [verdict]
        if self._path is not None and verdict.good:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(verdict)) + "\n")

    def lacking(self, cases: list[Case]) -> list[Case]:
        """Return the cases without a verdict: every pair of step and fault once before any is repeated elsewhere."""
        done = {verdict.case for verdict in self.verdicts}
        turns: defaultdict[tuple[str, str], int] = defaultdict(int)
        for case in done:
            turns[case.fault, case.step] += 1
        found: list[tuple[int, Case]] = []
        for case in cases:
            if case not in done:
                found.append((turns[case.fault, case.step], case))
                turns[case.fault, case.step] += 1
        return [case for _, case in sorted(found, key=lambda one: one[0])]


def _read(line: str) -> Verdict:
    fields = json.loads(line)
    return Verdict(**{**fields, "case": Case(**fields["case"])})
