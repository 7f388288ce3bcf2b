"""A node flow without chemistry: a step with a checkpoint, then one that runs until it is stopped."""

from __future__ import annotations

import time

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from spotwave.node.runtime.workspace import Workspace


@task(name="first_step", cache_policy=NO_CACHE)
def first_step(workspace: Workspace, word: str) -> None:
    get_run_logger().info("the word is %s", word)
    kept = workspace.scratch / "kept"
    kept.write_text(word)
    workspace.tell("first_step", 50, word)
    workspace.seal("first_step", {"kept": kept}, {})


@task(name="second_step", cache_policy=NO_CACHE)
def second_step() -> None:
    while True:
        time.sleep(0.05)


@flow(name="small-node")
def small(job_key: str, attempt: int, word: str) -> None:
    first_step(Workspace(), word)
    second_step()
