"""Checkpoints of earlier versions: verified, restored, and continued by the node's current code."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spotwave.node.contract import BRIEF_FILE, ENV_WORK, Brief
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.integrals_proof import IntegralsProof, same_integrals
from spotwave.node.jobs.shci.programs import program_for
from spotwave.node.jobs.shci.programs.base import Iteration, Stage
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.programs.snapshot import Snapshot, read_state
from spotwave.node.jobs.shci.scf.hartree_fock import load_hartree_fock
from spotwave.node.jobs.shci.shci_run import SCF_FILE, ShciRun
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage.checkpoint import restore
from spotwave.node.storage.manifest import CheckpointCorrupt, read_manifest, verify
from spotwave.node.storage.remote import Remote
from tests.earlier_versions.conftest import Earlier
from tests.node.conftest import RCLONE

PROGRAM = "program/pyci.npz"


def complete_generations(earlier: Earlier) -> list[Path]:
    """Return the generations of which all files are stored here."""
    return [path.parents[1] for path in earlier.files("pyci.npz")]


def test_manifests_are_undamaged_and_latest_names_them(earlier: Earlier) -> None:
    for path in earlier.files("manifest.json"):
        manifest = read_manifest(path.parent)
        assert manifest.generation == path.parent.name
        assert (path.parents[1] / "LATEST").read_text().split() == [manifest.generation]
        assert manifest.files


def test_complete_checkpoints_are_verified(earlier: Earlier) -> None:
    found = complete_generations(earlier)
    assert len(found) == 3
    for folder in found:
        manifest = verify(folder, folder.name)
        assert sorted(manifest.files) == [PROGRAM, SCF_FILE]
        assert (manifest.step, "integrals" in manifest.facts) == ("run_shci", True)


def test_changed_byte_is_detected(earlier: Earlier, tmp_path: Path) -> None:
    shutil.copytree(complete_generations(earlier)[0], tmp_path / "copy")
    path = tmp_path / "copy" / PROGRAM
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointCorrupt, match="differs from the sealed file"):
        verify(tmp_path / "copy")


def test_wave_functions_and_orbitals_are_read(earlier: Earlier) -> None:
    for folder in complete_generations(earlier):
        facts = read_manifest(folder).facts
        snapshot, state = Snapshot.read(folder / PROGRAM), read_state(folder / PROGRAM)
        assert state is not None
        assert (state.stage, state.variational_energy) == (snapshot.stage, snapshot.energy)
        assert snapshot.energy == pytest.approx(facts["variational_energy"], abs=1e-9)
        assert set(snapshot.arrays) == {"determinants", "coefficients"}
        task = snapshot.task
        snapshot.require(task, set(snapshot.arrays))
        smaller = {**task, "eps1": task["eps1"] / 2}
        snapshot.require(smaller, set(snapshot.arrays))
        assert snapshot.is_coarser_than(smaller)
        field = load_hartree_fock(calculation(folder), folder / SCF_FILE)
        assert field.energy == pytest.approx(facts["rhf_energy"], abs=1e-9)


def calculation(generation: Path) -> Calculation:
    content = json.loads((generation.parents[1] / "job.json").read_text())
    return Calculation.model_validate(content["job"]["parameters"]["calculation"])


@pytest.mark.parametrize("factor", [1.0, 0.5])
@pytest.mark.parametrize("what", ["capped", "completed"])
def test_current_node_code_continues(
    earlier: Earlier, what: str, factor: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps after the restore: the stored orbitals, the same integrals, and PyCI from the stored wave function,
    with the same eps1 or a smaller one."""
    monkeypatch.setenv(ENV_WORK, str(tmp_path))
    key = earlier.jobs[what]
    manifest = restore(Remote(RCLONE, None, str(earlier.remote(what))), tmp_path / "checkpoint")
    assert manifest is not None
    given = calculation(earlier.remote(what) / "checkpoint" / manifest.generation)
    given = given.model_copy(update={"eps1": given.eps1 * factor})
    brief = Brief(key, 3, "/nowhere", "", vcpus=1, memory_gib=4.0, deadline=time.time() + 600)
    brief.write(tmp_path / BRIEF_FILE)
    run = ShciRun(Workspace(), given)
    assert run.before is not None
    kept = run.workspace.take(SCF_FILE, run.scf)
    assert kept is not None
    field = load_hartree_fock(given, kept)
    proof = write_fcidump(field, run.fcidump, frozen=run.size.n_frozen, orbsym=True, max_memory_gib=2.0)
    assert same_integrals(IntegralsProof.from_dict(run.before.facts["integrals"]), proof)
    task = replace(run.solver, n_orbitals=proof.n_orbitals)
    run.workspace.take(PROGRAM, task.checkpoint / Path(PROGRAM).name)
    before = Snapshot.read(task.checkpoint / Path(PROGRAM).name)
    found: list[Iteration] = []
    energies = solve(
        program_for(given), task, on_line=lambda _: None, on_iteration=found.append, should_stop=lambda: False
    )
    # The earlier iterations are repeated with their recorded seconds: it has not started from scratch.
    assert found[: len(before.iterations)] == before.iterations
    assert energies.variational_energy <= before.energy + 1e-8
    if before.stage is Stage.FINISHED and factor == 1.0:
        assert found == before.iterations
        assert energies.total_energy == pytest.approx(before.total_energy, abs=1e-8)
    if before.stage is Stage.VARIATIONAL:
        assert found[-1].determinants > len(before.arrays["coefficients"])
