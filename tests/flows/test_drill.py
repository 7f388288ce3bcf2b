"""`spotwave drill` on the local cloud and on emulated ones, each with the interruption that it can force."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from spotwave.flows.drill import NoDrill, drill, estimate
from spotwave.node.contract import job_key_of
from tests.conftest import Embedded
from tests.emulators.gcp import GcpEmulator
from tests.flows.clouds_kit import NAME, Emulated
from tests.flows.kit import Job, nothing_left

pytestmark = [pytest.mark.slow(minutes=1), pytest.mark.timeout(900)]

STORE = f"snapshot-store/{NAME}"
LOCAL = "local-cloud/here"
# How each cloud interrupts a machine, and whether the machine gets a notice.
FORCED = {
    LOCAL: ("a notice of 30 s", True),
    f"aws-cloud/{NAME}": ("terminated by Spotwave, without notice", False),
    f"gcp-cloud/{NAME}": ("simulateMaintenanceEvent", True),
    f"azure-cloud/{NAME}": ("simulateEviction", True),
}


@pytest.mark.thorough
def test_drill_passes_on_every_cloud(
    embedded: Embedded, client: SyncPrefectClient, clouds: dict[str, Emulated]
) -> None:
    """As a user runs it: the cost is shown, all four drills run in parallel, and their reports are printed."""
    chosen = [word for document in FORCED for word in ("--cloud", document)]
    blocks = ["--remote", f"rclone-remote/{NAME}", "--access", f"prefect-access/{NAME}", "--store", STORE]
    done = embedded.spotwave("drill", *chosen, *blocks, "--yes", timeout_s=720)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    runs = re.findall(r"drill on (\S+): \S*/runs/flow-run/([0-9a-f-]{36})", done.stdout)
    assert [document for document, _ in runs] == list(FORCED)
    for document, run_id in runs:
        passed(embedded, Job(embedded.home, client, UUID(run_id)), document)
    for cloud in clouds.values():
        assert [(item.kind, item.id) for item in cloud.emulator.ledger.left()] == [], "nothing billed is left"
        assert cloud.emulator.secrets == {}
        assert len(cloud.emulator.computers) == 2, "one machine per attempt"


def passed(embedded: Embedded, run: Job, document: str) -> None:
    how, notice = FORCED[document]
    folder = embedded.home.results / run.key
    result = json.loads((folder / "result.json").read_text())
    report = str(run.artifacts_of(run.run_id)["drill"].data)
    assert (folder / "drill.md").read_text().strip() == report
    assert "**Passed**" in report
    assert how in report
    assert f"Resumed from: `{result['resumed_from']}`" in report
    assert result["resumed_from"].startswith("001-")
    assert result["finished_by"] == 2
    assert 0 <= result["resumed_at"] < result["seconds"]
    assert [one["ending"] for one in result["attempts"]] in (["interrupted", "completed"], ["lost", "completed"])
    if notice:
        assert result["attempts"][0]["ending"] == "interrupted"
        assert re.search(r"\| notice to 1, until its checkpoint was safe \| \d", report), report
    else:
        assert "does not test how much time a notice leaves" in report
    for what in (
        "launch of 1, until it worked",
        "loss of 1, until 2 worked",
        "end of the work, until nothing was left",
    ):
        assert re.search(rf"\| {what} \| \d+\.\d \|", report), report
    spent, most = map(float, re.findall(r"Total: ([\d.]+) USD, of at most ([\d.]+) USD", report)[0])
    assert spent <= most
    assert "Nothing is left" in report
    nothing_left(run)


@pytest.fixture
def quick_flows(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the heartbeat thread, whose end takes a second per flow run."""
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.mark.thorough
def test_drill_on_a_cloud_without_quota_fails(
    client: SyncPrefectClient, clouds: dict[str, Emulated], quick_flows: None
) -> None:
    google = clouds["gcp"].emulator
    assert isinstance(google, GcpEmulator)
    before = len(google.computers)
    regions = {zone.rpartition("-")[0] for zone in google.world.zones}
    google.without_quota.update(regions)
    try:
        blocks = {"remote": f"rclone-remote/{NAME}", "access": f"prefect-access/{NAME}", "store": STORE}
        state = drill(cloud=f"gcp-cloud/{NAME}", **blocks, return_state=True)
    finally:
        google.without_quota.clear()
    assert state.is_failed()
    assert state.message is not None
    assert "\n" not in state.message.strip()
    assert "quota" in state.message.lower(), state.message
    assert len(google.computers) == before
    assert google.secrets == {}
    assert state.state_details.flow_run_id is not None
    assert clouds["gcp"].cloud.find(job_key_of(state.state_details.flow_run_id)) == []


@pytest.mark.parametrize(
    ("cloud", "minutes", "message"),
    [
        ("local-cloud/nowhere", 60.0, "there is no block 'local-cloud/nowhere'"),
        ("local-cloud", 60.0, "<block type>/<document>"),
        ("rclone-remote/here", 60.0, "is not a block of type Cloud"),
        ("azure-cloud/public", 60.0, "cloud: 'azure-cloud/public' has no account"),
        (LOCAL, float("nan"), "minutes: nan is out of range"),
        (LOCAL, 1.0, "minutes: 1 is out of range"),
    ],
)
def test_invalid_parameters(client: SyncPrefectClient, cloud: str, minutes: float, message: str) -> None:
    with pytest.raises(NoDrill) as caught:
        estimate(cloud, minutes, "snapshot-store/here")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_terminal_nothing_is_started(embedded: Embedded) -> None:
    """The cost is shown, and without a terminal nothing is started."""
    machines = sorted(embedded.home.machines.iterdir())
    done = embedded.spotwave("drill")
    assert done.returncode == 1
    assert "local-cloud/here: 0.0000 USD at most: 60 minutes" in done.stdout
    assert done.stderr.strip() == ("spotwave: drill: no terminal to confirm a cost of up to 0.0000 USD; give --yes")
    assert sorted(embedded.home.machines.iterdir()) == machines
