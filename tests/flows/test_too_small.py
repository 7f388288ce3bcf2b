"""A machine that is too small: the job continues from its checkpoint on one with twice the memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.local.block import LocalCloud
from tests.conftest import Embedded
from tests.flows.conftest import Start
from tests.flows.kit import saved
from tests.flows.logs import messages

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.slow(minutes=1),
    pytest.mark.skipif(sys.platform != "linux", reason="a process's memory can be limited on Linux only"),
]

# Two stages, as in heat-bath CI, with plausible energies of H2. The first one is saved; the second needs more memory
# than the smaller machine has.
PROGRAM = """
import pathlib, sys, time
wave_function = pathlib.Path(sys.argv[1]) / "wave-function"
if wave_function.exists():
    print("restart from", wave_function.read_text(), flush=True)
else:
    wave_function.write_text("the first machine's")
    time.sleep(6)  # a file is saved when it has not changed for a while
print("variational energy: -1.13", flush=True)
table = bytes(5 << 28)
print("total energy: -1.137", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> dict[str, object]:
    path = tmp_path / "two_stages.py"
    path.write_text(PROGRAM)
    return {"program": "command", "command": {"line": f"{sys.executable} {path} {{checkpoint}} {{fcidump}}"}}


def test_out_of_memory_in_pt2_continues_with_twice_the_memory(
    embedded: Embedded, client: SyncPrefectClient, job: Start, program: dict[str, object]
) -> None:
    folder = str(embedded.home.machines)
    small_and_large = LocalCloud(
        folder=folder, max_vcpus=2, max_memory_gib=2.0, prices={"local-1": 0.01, "local-2": 0.05}
    )
    (first, second) = (1.0, 2.0)
    with saved(embedded, "too-small", small_and_large) as clouds:
        run = job(molecule="H 0 0 0; H 0 0 0.74", basis="sto-3g", clouds=clouds, objective="price", **program)
        result = run.completed()
    attempts = result["attempts"]
    assert [one["ending"] for one in attempts] == ["lost", "completed"]
    assert [one["memory_gib"] for one in attempts] == [first, second]
    first_attempt, second_attempt = attempts
    assert (first_attempt["cause"], first_attempt["exit_status"], first_attempt["step"]) == ("memory", 1, "run_shci")
    assert second_attempt["why"].startswith("memory: 1 GiB was too little at run_shci, so at least 2 GiB; ")
    lines = messages(run.client, run.run_id)
    assert any("2 GiB, 0.0500 USD/h" in line and "after 0.0100 USD/h for 1 GiB" in line for line in lines)
    assert "lost: memory" in str(run.artifacts_of(run.run_id)["attempts"].data)
    (_, node_run) = run.node_runs()
    again = messages(run.client, node_run.id)
    assert any("taken from the checkpoint" in line for line in again), "the SCF is from the checkpoint"
    assert any("restart from the first machine's" in line for line in again), "the program's own file is restored"
