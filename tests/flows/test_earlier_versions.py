"""A job that an earlier version left unfinished, continued with a smaller eps1, on a real server and machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.cost import ledger
from tests.conftest import Embedded
from tests.earlier_versions.conftest import COMMITS, HERE, Earlier
from tests.flows.conftest import Start
from tests.flows.kit import endings, repeated_scf, saved

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=2)]

# Results of a fresh calculation with this eps1 (half that of the earlier jobs): water in 6-31G, frozen core; Hartree.
EPS1, VARIATIONAL, TOTAL, DETERMINANTS = 1e-4, -76.1198677498, -76.1199540001, 13950


@pytest.mark.parametrize("commit", COMMITS)
def test_job_continues_from_the_earlier_remote_and_ledger(
    embedded: Embedded, job: Start, tmp_path: Path, commit: str
) -> None:
    earlier = Earlier(HERE / commit)
    key, asked = earlier.jobs["capped"], earlier.asked("capped")["parameters"]["calculation"]
    shutil.copytree(earlier.remote("capped"), embedded.home.remote / key)
    shutil.copytree(earlier.home / "store/spending", tmp_path / "spending")
    (before,) = ledger.of_job(ledger.read(earlier.store), key)
    assert asked["eps1"] == 2 * EPS1
    with saved(embedded, "earlier", SnapshotStore(url=str(tmp_path))) as (store,):
        given = {**asked, "eps1": EPS1, "store": store, "requirements": {"max_vcpus": 1}, "sync_minutes": 0.05}
        run = job(**given, continue_job=key)
        result = run.completed()
        assert not repeated_scf(run, 1)
    assert endings(result) == ["completed"]
    assert result["parameters"]["eps1"] == EPS1
    assert result["rhf_energy"] == pytest.approx(-75.9839744727, abs=1e-8)
    assert result["variational_energy"] == pytest.approx(VARIATIONAL, abs=1e-8)
    assert result["total_energy"] == pytest.approx(TOTAL, abs=1e-8)
    assert result["determinants"] == DETERMINANTS
    receipt = json.loads((embedded.home.results / run.key / "receipt.json").read_text())
    assert receipt["cost"]["before_usd"] == pytest.approx(before.usd, abs=1e-6)
    assert before.usd > 1
