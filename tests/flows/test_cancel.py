"""`prefect flow-run cancel`: the machine is terminated, and its cost is on the receipt."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import Embedded
from tests.flows.billing import receipt_in
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, Job

pytestmark = pytest.mark.slow(minutes=1)


@pytest.fixture(scope="module")
def jobs(early: Start) -> dict[str, Job]:
    return {
        "cancelled at work": early("run_shci", **MINIMAL),
        "cancelled at launch": early("launched", **MINIMAL),
    }


@pytest.mark.parametrize("name", ["cancelled at work", "cancelled at launch"])
def test_cancelling_the_run_terminates_the_machine_and_bills_it(
    embedded: Embedded, jobs: dict[str, Job], name: str
) -> None:
    """Also for a machine that only its cloud has recorded yet."""
    run = jobs[name]
    run.waits()
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(run.run_id)]
    subprocess.run(command, env=embedded.environment, check=True, capture_output=True, timeout=60)
    assert run.plan is not None
    run.plan.go_on()  # the controller ends a launch that it has begun
    assert run.finished().is_cancelled()
    receipt = receipt_in(run.home.results / run.key)
    assert [attempt["ending"] for attempt in receipt["attempts"]] == ["lost"]
    assert receipt["attempts"][0]["bill"]["seconds"] > 0
    node_runs = run.node_runs()
    assert [node_run.state_name for node_run in node_runs] == ["Cancelled"] * len(node_runs)
    assert len(node_runs) == (name == "cancelled at work")
