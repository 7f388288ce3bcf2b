"""A job that does nothing, for load tests: its node run waits for a file until all jobs of the crowd run.

Has the story and the node flow. The controller and the local machines both import them from this checkout.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Failed

from spotwave.blocks.home import ENV_RESULTS
from spotwave.blocks.models import Requirements
from spotwave.flows.loop.run_job import JobFailed, run_job
from spotwave.node.contract import RESULT_FILE, Ending, job_key_of, write_text
from spotwave.node.runtime.workspace import Workspace
from spotwave.tasks.records import Job
from spotwave.tasks.results.collect import collect


@flow(name="crowd", log_prints=False)
def crowd(gate: str) -> dict[str, Any] | State[Any]:
    """Run one job of the crowd on the local cloud's smallest machine; it ends when the file `gate` exists."""
    key = job_key_of(UUID(flow_run.id))
    job = Job(
        key=key,
        flow_run_id=UUID(flow_run.id),
        node="crowd-node/machine",
        parameters={"gate": gate},
        requirements=Requirements(max_vcpus=1),
        clouds=["local-cloud/here"],
        remote="rclone-remote/here",
        access="prefect-access/here",
        store="snapshot-store/here",
        results=Path(os.environ[ENV_RESULTS]) / key,
    )
    try:
        return collect(job, run_job(job).attempts)
    except JobFailed as error:
        return Failed(message=str(error))


@flow(name="crowd-node", log_prints=False)
def crowd_node(job_key: str, attempt: int, gate: str) -> None:
    """Wait for the file `gate`; the result has start and end (Unix seconds)."""
    workspace, began = Workspace(), time.time()
    workspace.tell("wait", 50, "at the gate")
    write_text(Path(f"{gate}-keeper") / f"{job_key}-{attempt}", str(began))
    while not Path(gate).exists():
        workspace.go_on()
        time.sleep(0.5)
    write_text(workspace.work / RESULT_FILE, json.dumps({"began": began, "ended": time.time()}))
    workspace.end(Ending.COMPLETED, "through the gate")
