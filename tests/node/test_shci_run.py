"""What a checkpoint of an SHCI calculation passes on from attempt to attempt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spotwave.node.contract import BRIEF_FILE, ENV_WORK, Brief
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.reference import FirstDeterminant, Reference, Stability
from spotwave.node.jobs.shci.shci_run import ShciRun
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage.checkpoint import CheckpointCorrupt

CALCULATION = Calculation(molecule="H 0 0 0; H 0 0 0.74", basis="sto-3g")
CHOSEN = Reference(
    energy=-1.1,
    irrep="Ag",
    origin="occupation",
    stability=Stability(internal=0.1, external=None),
    first_determinant=FirstDeterminant(alpha=(0,), beta=(1,)),
)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENV_WORK, str(tmp_path))
    return tmp_path


def run_of(work: Path, attempt: int) -> ShciRun:
    brief = Brief("sw-0123456789ab", attempt, "/nowhere", "", vcpus=1, memory_gib=1.0, deadline=time.time() + 600)
    brief.write(work / BRIEF_FILE)
    run = ShciRun(Workspace(), CALCULATION)
    run.scf.write_text("orbitals")
    return run


def test_the_choice_of_the_first_attempt_is_kept(work: Path) -> None:
    """The second attempt only passes it on. A new choice by the third could lead to other integrals."""
    first = run_of(work, 1)
    assert first.reference is None
    first.reference = CHOSEN
    first.seal("choose_reference")
    second = run_of(work, 2)
    assert second.reference == CHOSEN
    second.seal("run_shci")
    assert run_of(work, 3).reference == CHOSEN


def test_an_invalid_choice_is_refused(work: Path) -> None:
    first = run_of(work, 1)
    first.facts["reference"] = {"energy": "low"}
    first.seal("run_shci")
    with pytest.raises(CheckpointCorrupt, match="its reference is invalid"):
        run_of(work, 2)
