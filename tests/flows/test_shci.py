"""shci/water-dimer end to end: a real server, worker, rclone, Hartree-Fock and heat-bath CI."""

from __future__ import annotations

import hashlib
import json
import re
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.node.jobs.shci.digits import in_digits
from tests.conftest import Embedded
from tests.flows.kit import Job, eventually, nothing_left

pytestmark = pytest.mark.slow

STEPS = {"hartree_fock", "choose_reference", "write_fcidump", "run_shci"}


def test_water_dimer_in_a_minimal_basis(embedded: Embedded, client: SyncPrefectClient) -> None:
    """As a user runs it: followed in the terminal to the closing table."""
    done = embedded.spotwave("run", "shci/water-dimer", "-p", "basis=sto-3g", "-p", "keep_fcidump=true")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = re.search(r"/runs/flow-run/([0-9a-f-]{36})", done.stdout)
    assert found is not None
    run = Job(embedded.home, client, UUID(found.group(1)))
    result = run.result
    assert "Finished in state Completed" in done.stdout
    for shown in (
        in_digits(result["total_energy"], result["threshold_error"]),
        f"{result['determinants']:,}",
        str(embedded.home.results / run.key),
    ):
        assert shown in done.stdout
    nothing_left(run)
    assert result["rhf_energy"] == pytest.approx(-149.9353759264, abs=1e-8)
    assert result["total_energy"] < result["variational_energy"] < result["rhf_energy"]
    assert result["nuclear_repulsion"] == pytest.approx(36.66284801, abs=1e-7)
    assert [a["ending"] for a in result["attempts"]] == ["completed"]
    assert set(result["wall_seconds"]) == STEPS
    assert result["s_squared"] == pytest.approx(0.0, abs=1e-3)
    assert 0 < result["threshold_error"] < 1e-4
    assert result["reference"]["irrep"] == "A'"
    assert result["reference"]["stability"]["internal"] > 1.0
    assert (result["hf_method"], result["cartesian"], result["note"]) == ("RHF", False, "")
    assert result["orbitals"] == result["basis_functions"] == 14
    assert result["cost"]["usd"] == 0.0
    assert result["parameters"]["basis"] == "sto-3g"
    assert len(result["geometry"]) == 6

    home = embedded.home.results / run.key
    assert hashlib.sha256((home / "output/FCIDUMP").read_bytes()).hexdigest() == result["integrals_sha256"]
    assert (home / "convergence.png").read_bytes().startswith(b"\x89PNG")
    assert "determinants" in (home / "output/iterations.csv").read_text()
    assert (home / "output/shci.log").stat().st_size > 0
    assert (home / "attempts/1/agent.log").stat().st_size > 0
    assert json.loads((run.remote / "output/result.json").read_text()) == result

    check_steps_and_artifacts(run)
    check_brief_has_no_secrets_and_no_code(run)
    check_choice_and_recorded_work(embedded, run)


def check_choice_and_recorded_work(embedded: Embedded, run: Job) -> None:
    shown = embedded.spotwave("why", run.key)
    assert shown.returncode == 0, shown.stderr
    assert "Chosen: local local-" in shown.stdout
    kept = SnapshotStore(url=str(embedded.home.store)).notes("runs/v1")
    (note,) = [one for one in kept if one["job"] == run.key]
    assert (note["kind"], note["cloud"], note["family"]) == ("shci-node/machine", "local", "local")
    assert note["core_h"] > 0


def check_steps_and_artifacts(run: Job) -> None:
    def steps_of(of: FlowRun) -> set[str]:
        return {task.name.rpartition("-")[0] for task in run.tasks_of(of)}

    expected = "check_job stage fetch_prices select open_lease provision await_boot watch terminate timeline collect"
    wanted = {*expected.split(), "quote", "reserve", "bill", "settle", "receipt"}
    # The server records task runs from events, and may lag behind on SQLite.
    eventually(f"{wanted} are recorded", lambda: steps_of(run.run) >= wanted, 60)
    (node_run,) = run.node_runs()
    assert node_run.name == "attempt-1"
    eventually(
        "the node run's steps are recorded",
        lambda: steps_of(node_run) == STEPS,
        60,
    )
    artifacts = run.artifacts_of(run.run_id)
    assert set(artifacts) == {"offers", "quote", "launches", "attempts", "receipt", "progress", "convergence", "result"}
    assert artifacts["progress"].data == 100
    assert "local-1" in str(artifacts["offers"].data)
    assert "data:image/png;base64," in str(artifacts["convergence"].data)
    assert run.key in run.run.tags


def check_brief_has_no_secrets_and_no_code(run: Job) -> None:
    (folder,) = run.home.machines.glob(f"{run.key}-*")
    user_data = (folder / "bootstrap.sh").read_bytes()
    assert len(user_data) < 16384
    assert not (folder / "secrets").exists()
