"""Records of earlier versions: billing records, receipts, results, and files of machines and controllers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from spotwave.deployments.closing_table import closing_table
from spotwave.flows.shci_result import parse_result
from spotwave.node.contract import (
    Brief,
    Ending,
    Fence,
    Lease,
    Outcome,
    Phase,
    Progress,
    RunResult,
    Submission,
)
from spotwave.tasks.cost import billing_record
from spotwave.tasks.records import Bill, Job, Quote
from tests.earlier_versions.conftest import Earlier


@pytest.fixture
def account(earlier: Earlier, tmp_path: Path) -> Iterator[str]:
    """Return the key of the job with an open billing record, in a copy of its folder."""
    shutil.copytree(earlier.home / "prefect/accounts", tmp_path / "accounts")
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield earlier.jobs["open"]


def test_open_billing_record_is_read_and_kept(account: str) -> None:
    assert billing_record.kept() == [account]
    found = billing_record.read(account)
    assert found is not None, "otherwise it would be closed after two days without a receipt"
    assert found.open
    assert found.job.key == account
    (machine,) = found.machines
    assert machine.attempt.machine.name == f"{account}-1"
    assert machine.cloud == "local-cloud/here"
    assert machine.reserved_at > 1.7e9
    assert machine.attempt.outcome.ending is Ending.LOST, "until its end is known"
    assert found.quote is not None
    billing_record.keep(found)
    assert billing_record.read(account) == found
    billing_record.close(account)
    assert billing_record.kept() == []


def test_only_the_open_job_has_a_billing_record(earlier: Earlier) -> None:
    """Records of ended jobs were closed: their cost is in receipts and in the ledger."""
    assert [path.stem for path in (earlier.home / "prefect/accounts").glob("*.json")] == [earlier.jobs["open"]]


def test_receipts_add_up(earlier: Earlier) -> None:
    """Their bills and quotes are valid in this version, and the sums are right."""
    for path in earlier.files("receipt.json"):
        receipt = json.loads(path.read_text())
        quote = receipt["cost"]["quote"]
        if quote is not None:
            Quote.model_validate(quote)
        for one in receipt["attempts"]:
            bill = Bill.model_validate(one["bill"])
            assert bill.usd == pytest.approx(one["usd"], abs=1e-6)
        assert receipt["cost"]["usd"] == pytest.approx(sum(one["usd"] for one in receipt["attempts"]), abs=1e-5)


@pytest.mark.parametrize("what", ["completed", "interrupted"])
def test_result_is_valid_and_shown(earlier: Earlier, what: str) -> None:
    folder = earlier.folder / "results" / earlier.jobs[what]
    content = json.loads((folder / "result.json").read_text())
    result, facts = parse_result(content), RunResult.from_dict(content)
    assert result.total_energy == content["total_energy"] < result.rhf_energy
    assert facts.seconds == pytest.approx(sum(content["wall_seconds"].values()))
    table = closing_table(folder, "http://127.0.0.1:4200/runs/flow-run/x", "shci")
    machines = f"{len(content['attempts'])} ({content['attempts'][0]['machine']}"
    for shown in (f"{content['rhf_energy']:.6f}", f"{content['determinants']:,}", machines, "USD", str(folder)):
        assert shown in table


def test_result_of_a_drill_is_shown(earlier: Earlier) -> None:
    (report,) = earlier.files("drill.md")
    content = json.loads((report.parent / "result.json").read_text())
    table = closing_table(report.parent, "", "drill")
    assert f"{content['seconds']} s" in table
    assert content["resumed_from"] in table


def test_table_of_a_job_without_a_result(earlier: Earlier) -> None:
    folder = earlier.folder / "results" / earlier.jobs["capped"]
    assert "result     -" in closing_table(folder, "", "shci")


def test_leases_outcomes_and_progress_are_read(earlier: Earlier) -> None:
    for path in earlier.files("heartbeat.json"):
        lease = Lease.read(path)
        assert lease.beat > 0
        assert lease.progress.step
        assert lease == Lease.from_metadata(lease.to_metadata())
    assert {Lease.read(path).phase for path in earlier.files("heartbeat.json")} >= {Phase.SAVING, Phase.ENDED}
    for path in earlier.files("outcome.json"):
        content, outcome = json.loads(path.read_text()), Outcome.read(path)
        assert (outcome.ending, outcome.reason) == (content["ending"], content["reason"])
        assert outcome.generation == content.get("generation")
    for path in earlier.files("progress.json"):
        assert 0 < Progress.read(path).percent <= 100
    assert Outcome.read(earlier.remote("capped") / "attempts/1/outcome.json").ending is Ending.DEADLINE
    assert Outcome.read(earlier.remote("interrupted") / "attempts/1/outcome.json").ending is Ending.INTERRUPTED


def test_briefs_are_read(earlier: Earlier) -> None:
    for path in earlier.files("brief.json"):
        brief = Brief.read(path)
        assert path.parent.parent.name == f"{brief.name}-local-1"
        assert brief.remote.endswith(brief.job_key)
        assert (brief.vcpus, brief.detached) == (1, False)


def test_files_for_a_detached_machine_are_read(earlier: Earlier) -> None:
    folder = earlier.remote("detached") / "attempts/1"
    submission = Submission.read(folder / "run.json")
    assert submission.entrypoint == "node.shci.shci_node", "in the package that this machine has"
    assert submission.parameters["job_key"] == earlier.jobs["detached"]
    assert Fence.read(folder / "fence.json").save_s == 0.0


def test_job_files_are_valid(earlier: Earlier) -> None:
    for path in earlier.files("job.json"):
        content = json.loads(path.read_text())["job"]
        job = Job.model_validate(content)
        assert job.key == path.parent.name
        assert (job.parameters, job.sync_s, job.max_usd) == (
            content["parameters"],
            content["sync_s"],
            content["max_usd"],
        )
        assert job.work == "", "derived from its parameters"
