"""shci/water-dimer on emulated clouds whose machines boot: refused, interrupted, and completed."""

from __future__ import annotations

import json
import sqlite3

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.deployments.check import findings
from spotwave.flows.housekeeping.reap import survey
from spotwave.node.contract import LATEST_FILE
from tests.conftest import Embedded
from tests.faults.hooked import Hooked
from tests.faults.steps import STEPS
from tests.flows.billing import assert_receipt_matches
from tests.flows.clouds_kit import CloudJob, Emulated
from tests.flows.kit import MINIMAL, get_client, same_energies
from tests.processes import words

# Up to a minute is lost now and then because SQLite blocks Prefect's server.
pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=5), pytest.mark.timeout(600)]


def test_refused_interrupted_and_completed(
    embedded: Embedded, client: SyncPrefectClient, clouds: dict[str, Emulated], hooked: Hooked
) -> None:
    """One job on each cloud, in parallel. The cheapest offer has no capacity; the first machine is interrupted with a
    notice in run_shci, the second one finishes the job. (Other faults: tests.faults.)"""
    cheapest = {kind: cloud.cheapest() for kind, cloud in clouds.items()}
    for kind, cloud in clouds.items():
        cloud.exhaust(cheapest[kind])
    waits = (hooked, STEPS["run_shci"])
    jobs = {kind: CloudJob.on(cloud, embedded, client, waits, **MINIMAL) for kind, cloud in clouds.items()}
    secrets: set[str] = set()
    for job in jobs.values():
        job.waits()
        secrets |= job.secrets()
    assert len(secrets) == 1 + len(jobs), "a password, and a token for each attempt"
    check_process_lists(secrets)
    check_running_machines_are_shown(embedded, jobs)
    for job in jobs.values():
        job.cloud.emulator.interrupt(job.machine(1).id, 30.0)
    for job in jobs.values():
        first = job.computer(1)
        assert first.wait(30), "it saves and stops before the deadline of the notice"
        assert (job.remote / LATEST_FILE).exists()
        assert json.loads((job.remote / "attempts/1/outcome.json").read_text())["ending"] == "interrupted"
    for kind, job in jobs.items():
        result = job.completed()
        same_energies(result)
        first, second = result["attempts"]
        assert [first["ending"], second["ending"]] == ["interrupted", "completed"]
        refused = first["refusals"][0]
        assert (refused["offer"], refused["kind"]) == (cheapest[kind], "capacity")
        for attempt in (first, second):
            assert attempt["cloud"] == kind
            assert attempt["instance_type"]
            assert attempt["zone"]
            assert attempt["spot_usd_h"] > 0
        assert first["ended_at"] <= second["launched_at"]
        ledger = job.cloud.emulator.ledger
        assert [(item.kind, item.id) for item in ledger.left()] == [], "nothing billed is left"
        assert_receipt_matches(job)
        assert job.cloud.emulator.secrets == {}
        assert len(job.cloud.emulator.computers) == 2, "one machine per attempt"
        assert "result" in str(job.artifacts_of(job.run_id)["launches"].data)
    for job in jobs.values():
        for where, text in job.traces():
            assert not any(secret in text for secret in secrets), f"{where} contains a secret"
    check_database(embedded, secrets)


def check_running_machines_are_shown(embedded: Embedded, jobs: dict[str, CloudJob]) -> None:
    """`spotwave ls` shows the machines, the reaper leaves them alone, and a check finds no problem."""
    listed = embedded.spotwave("ls")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    with embedded.api.in_use(embedded.home), get_client(sync_client=True) as client:
        seen = survey()
        blocks = {name for job in jobs.values() for name in (*job.cloud.blocks["clouds"], job.cloud.blocks["remote"])}
        checked = list(findings(client, sorted(blocks)))
    assert seen.silent == {}
    assert seen.forgotten == []
    things = {(thing.kind, thing.thing.job_key) for thing in seen.things}
    for job in jobs.values():
        assert job.machine(1).name in listed.stdout
        assert job.machine(1).offer.label in listed.stdout
        assert {("machine", job.key), ("secret", job.key)} <= things
    assert "3 machines" in listed.stdout
    assert {document for document, _ in checked} == blocks
    assert [finding for _, finding in checked if finding.ok is False] == []


def check_process_lists(secrets: set[str]) -> None:
    for process in psutil.process_iter():
        line = " ".join(words(process))
        assert not any(secret in line for secret in secrets), line


def check_database(embedded: Embedded, secrets: set[str]) -> None:
    """Search Prefect's database: parameters, artifacts, logs, events. Blocks are encrypted."""
    files = list(embedded.home.path.rglob("*.db"))
    assert files
    for file in files:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                for row in database.execute(f'select * from "{table}"'):
                    text = str(row)
                    assert not any(secret in text for secret in secrets), f"table {table} contains a secret"
