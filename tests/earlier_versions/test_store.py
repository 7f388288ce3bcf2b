"""The snapshot store of earlier versions: ledger, prices, catalogues, and measurements of jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from spotwave.flows.shci import Shci
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.tasks.cost import ledger
from spotwave.tasks.market import learned_notes
from spotwave.tasks.market.learned import measured_speeds, work_key
from spotwave.tasks.market.speed import learned
from tests.earlier_versions.conftest import Earlier

NODE = "shci-node/machine"


def test_ledger_has_every_attempt_with_its_cost(earlier: Earlier) -> None:
    entries = ledger.read(earlier.store)
    files = list((earlier.home / "store/spending/v1/2026-11").glob("*.json"))
    assert len(entries) == len(files) == len(ledger.read(earlier.store, "2026-11"))
    assert {entry.name for entry in entries} == {path.stem for path in files}
    (capped,) = ledger.of_job(entries, earlier.jobs["capped"])
    receipt = earlier.json(f"results/{earlier.jobs['capped']}/receipt.json")
    assert (capped.state, capped.project, capped.cloud) == ("ended", "water", "local")
    assert capped.usd == pytest.approx(receipt["cost"]["usd"], abs=1e-6)
    assert capped.usd > 1
    (open_,) = ledger.of_job(entries, earlier.jobs["open"])
    assert open_.state == "reserved", "its machine is not billed yet"
    assert [one.attempt for one in ledger.of_job(entries, earlier.jobs["interrupted"])] == [1, 2]


def test_snapshots_are_read_unchanged(earlier: Earlier) -> None:
    found = earlier.store.snapshots()
    assert [one.cloud for one in found] == ["gcp", "aws"]
    for one in found:
        market, facts = earlier.store.read(one), earlier.store.facts(one)
        assert market.frame.height > 50
        assert market.frame["spot_usd_h"].min() > 0
        assert (market.dropped, market.missing) == (facts["dropped"], facts["missing"])
        assert facts["seconds"] > 0
    assert earlier.store.frame().height == sum(earlier.store.read(one).frame.height for one in found)
    assert earlier.store.latest("aws") == found[1]


def test_catalogue_is_read_if_its_tables_are_current(earlier: Earlier) -> None:
    (folder,) = (earlier.home / "store/catalogues").glob("*/gcp-*")
    found = earlier.store.catalogue(folder.name)
    if (
        folder.parent.name == "v1"
    ):  # its tables have changed since; a catalogue is valid for one day and is fetched again
        assert found is None
        return
    assert found is not None
    taken_at, catalogue = found
    assert taken_at.date() == datetime(2026, 11, 30, tzinfo=UTC).date()
    assert catalogue.tables["machine_types"].height > 50


def test_no_note_of_a_finished_job_is_skipped(earlier: Earlier) -> None:
    warnings: list[str] = []
    runs = learned_notes.runs(earlier.store, warnings.append)
    assert len(runs) == len(list((earlier.home / "store/runs/v1").glob("*.json"))) > 0
    assert warnings == []
    speeds = measured_speeds(earlier.store, NODE)
    assert speeds.height > 0


@pytest.mark.parametrize("what", ["completed", "interrupted"])
def test_earlier_calculation_has_the_same_work_key(earlier: Earlier, what: str) -> None:
    """Otherwise all measurements would be lost: the key of the old note equals that of the same input today."""
    path = earlier.home / f"store/runs/v1/{earlier.jobs[what]}.json"
    given = Calculation.model_validate(earlier.asked(what)["parameters"]["calculation"])
    work = Shci().check(given).work
    assert work is not None
    key = work_key(NODE, work)
    assert json.loads(path.read_text())["work"] == key
    _, core_h = learned(learned_notes.runs(earlier.store), NODE, key)
    assert core_h is not None
    assert core_h > 0


def test_losses_are_read(earlier: Earlier) -> None:
    """No pool lost a machine while the sets were made, so nothing cools down; but the folder is read."""
    assert learned_notes.losses(earlier.store, datetime(2026, 11, 30, tzinfo=UTC)) == []
