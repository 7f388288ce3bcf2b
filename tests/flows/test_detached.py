"""A job whose machines reach no Prefect API: their reports arrive through the remote and are all in Prefect."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.access import PrefectAccess
from spotwave.deployments import worker
from spotwave.node.contract import RECORD_DIR, Lease, Phase, attempt_dir
from tests.conftest import Embedded
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, Job, endings, eventually, local_cloud, repeated_scf, same_energies
from tests.flows.logs import messages

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=1.5)]

ACCESS = "prefect-access/detached"


@pytest.fixture
def detached(client: SyncPrefectClient) -> Iterator[str]:
    PrefectAccess(way="detached").save("detached", overwrite=True)
    yield ACCESS
    PrefectAccess.delete("detached")


def kill_controller(embedded: Embedded) -> None:
    """SIGKILL the controller, which executes the job."""
    note = worker.running(embedded.home)
    assert note is not None
    psutil.Process(note.pid).kill()


def working_lease(run: Job) -> Lease | None:
    """Return the first machine's lease from Prefect, once it works."""
    artifact = run.artifacts_of(run.run_id).get(f"lease-{run.key}-1")
    lease = Lease.from_metadata(artifact.metadata_) if artifact else None
    return lease if lease and lease.phase is Phase.WORKING and lease.progress.step == "run_shci" else None


def test_detached_job_survives_its_machine_and_its_controller(
    embedded: Embedded, client: SyncPrefectClient, job: Start, detached: str
) -> None:
    run = job("run_shci", **MINIMAL, access=detached)
    run.waits()
    eventually("the machine's progress is in Prefect", lambda: working_lease(run))
    (first,) = run.node_runs()
    assert first.state_name == "Running"
    kill_controller(embedded)

    # While no controller runs, the machine is interrupted: it saves its work and writes its outcome.
    local_cloud(run.home).interrupt(run.machine(), 20)
    done = embedded.spotwave("up")
    assert done.returncode == 0, done.stderr

    result = run.completed()
    same_energies(result)
    assert endings(result) == ["interrupted", "completed"]
    assert not repeated_scf(run, 2)
    assert [node_run.state_name for node_run in run.node_runs()] == ["Interrupted", "Completed"]
    for attempt, node_run in enumerate(run.node_runs(), 1):
        lines = messages(client, node_run.id)
        assert sum(f"attempt {attempt} of {run.key}" in line for line in lines) == 1, "each line once"
        assert not (run.remote / attempt_dir(attempt) / RECORD_DIR).exists(), "forwarded"
    second = run.node_runs()[1]
    assert any("taken from the checkpoint" in line for line in messages(client, second.id))
    states = {task.name.rpartition("-")[0]: task.state_name for task in run.tasks_of(second)}
    assert states == dict.fromkeys(("hartree_fock", "choose_reference", "write_fcidump", "run_shci"), "Completed")
    assert run.artifacts_of(second.id)["node-progress"].data == 100
    assert "Late" not in {str(state.name) for n in run.node_runs() for state in client.read_flow_run_states(n.id)}
