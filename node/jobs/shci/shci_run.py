"""State of a running SHCI calculation that its tasks share, and the content of its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.programs.base import SolverTask
from spotwave.node.jobs.shci.reference import Reference
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage.checkpoint import CheckpointCorrupt, Manifest

SCF_FILE = "scf.chk"
PROGRAM_DIR = "program"
FCIDUMP = "FCIDUMP"


def _reference_of(before: Manifest | None) -> Reference | None:
    """Return the choice of reference stored in the checkpoint. Raises CheckpointCorrupt."""
    stored = before.facts.get("reference") if before else None
    if stored is None:
        return None
    try:
        reference = Reference.model_validate_json(json.dumps(stored))
    except ValidationError as error:
        raise CheckpointCorrupt(f"its reference is invalid: {error.errors(include_input=False)[0]['msg']}") from None
    return reference


class ShciRun:
    """State of a running calculation that its tasks share, and the content of its checkpoints."""

    def __init__(self, workspace: Workspace, calculation: Calculation) -> None:
        self.workspace = workspace
        self.calculation = calculation
        self.size = check(calculation)
        self.facts: dict[str, Any] = {"seconds": {}}
        self.before: Manifest | None = workspace.restored()
        if self.before is not None:
            self.facts |= {"seconds": dict(self.before.facts.get("seconds", {}))}
        self.reference: Reference | None = _reference_of(self.before)
        self.fcidump = workspace.scratch / FCIDUMP
        self.scf = workspace.scratch / SCF_FILE
        self.solver = SolverTask(
            fcidump=self.fcidump,
            output=workspace.scratch / "solver",
            checkpoint=workspace.scratch / PROGRAM_DIR,
            log=workspace.output / "shci.log",
            threads=workspace.brief.vcpus,
            memory_gib=self.memory_gib,
            eps1=calculation.eps1,
            eps2=calculation.eps2,
            n_orbitals=self.size.n_correlated_orbitals,
            n_electrons=self.size.n_correlated_electrons,
            spin=calculation.spin,
            command=calculation.command,
        )

    @property
    def memory_gib(self) -> float:
        """Memory that one step may use; the rest is for the operating system, the agent and the worker."""
        return max(0.5, 0.75 * self.workspace.brief.memory_gib)

    def seal(self, step: str, files: dict[str, Path] | None = None) -> None:
        """Seal a checkpoint of everything that is expensive to compute and small."""
        # Includes an earlier attempt's choice of reference: a new choice would mean other integrals.
        chosen = {} if self.reference is None else {"reference": self.reference.model_dump(mode="json")}
        self.workspace.seal(step, {SCF_FILE: self.scf, **(files or {})}, self.facts | chosen)

    def spent(self, step: str, seconds: float) -> None:
        """Add to the wall seconds of a step, summed over the attempts."""
        total = self.facts["seconds"].get(step, 0.0) + seconds
        self.facts["seconds"][step] = round(total, 3)
