"""Step: download and verify the results, add the cost, and show them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from spotwave.node.contract import OUTPUT_DIR, RESULT_BYTES, RESULT_FILE, attempt_dir, write_text
from spotwave.node.storage.remote import Remote
from spotwave.node.untrusted.strict_json import BadJson, load_file
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost.receipt import attempt_to_dict, cost_of
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Attempt, Job, Quote
from spotwave.tasks.results.fetch import NoRoom, bring_home, listed, require_room

Log = logging.Logger | logging.LoggerAdapter[Any]

RESULT_NAME = Path(RESULT_FILE).name  #: Spotwave's file, with attempts and cost; the machine's own is in `output/`


class NoResult(RuntimeError):
    """The remote has no readable result although the attempt reported success."""


def _worth_another(_task: object, _run: object, state: State[Any]) -> bool:
    """Retry unless the disk is full: it would still be full half a minute later."""
    return not isinstance(state.result(raise_on_failure=False), NoRoom)


@task(
    name="collect",
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_worth_another,
    persist_result=True,
    cache_policy=ONCE,
)
def collect(job: Job, attempts: list[Attempt], quote: Quote | None = None) -> dict[str, Any]:
    """Download the output to `results/<job key>/output/`, verify it, and write `result.json` with attempts and cost.

    Returns the result. Files in `output/` and `attempts/` come from the machine, under any name; the folder above holds
    only files written by Spotwave. The completed result is uploaded, so that both places agree; a cost that is
    corrected later (flows.housekeeping.settle_bills) changes only here. Raises NoResult, NoRoom, RemoteError.
    """
    with load_remote(job.remote).job(job.key) as remote:
        result = brought_home(remote, job, attempts, quote, get_run_logger())
    get_run_logger().info("results are in %s", job.results)
    return result


def brought_home(remote: Remote, job: Job, attempts: list[Attempt], quote: Quote | None, log: Log) -> dict[str, Any]:
    """Implement `collect`, from the job's folder on its remote."""
    home = job.results
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    folders = {OUTPUT_DIR: listed(remote, OUTPUT_DIR, first=RESULT_NAME)}
    folders |= {where: listed(remote, where) for where in (attempt_dir(one.number) for one in attempts)}
    require_room(sum(found.bytes for found in folders.values()), sum(len(f.names) for f in folders.values()), home)
    for where, found in folders.items():
        for line in found.left_out:
            log.warning("left on the remote, in %s: %s", where, line)
        if found.names:
            (home / where).parent.mkdir(exist_ok=True, mode=0o700)
            bring_home(remote, where, found, home / where)
    result = _read_result(home / RESULT_FILE)
    result |= {
        "job_key": job.key,
        "remote": remote.root,
        "attempts": [attempt_to_dict(attempt) for attempt in attempts],
        "cost": cost_of(attempts, quote),
    }
    if left := {where: found.left_out_count for where, found in folders.items() if found.left_out_count}:
        result["left_on_the_remote"] = left
    write_text(home / RESULT_NAME, json.dumps(result, indent=1) + "\n")
    remote.upload(home / RESULT_NAME, RESULT_FILE)
    return result


@task(name="show_result")
def show_result(result: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    """Draw the artifact `result`: the story's own rows, then machines and cost."""
    cost = result["cost"]
    lines = ["| | |", "|--|--|", *(f"| {name} | {value} |" for name, value in rows)]
    lines += [f"| machines | {len(result['attempts'])} |", f"| cost | {cost['usd']:.4f} USD in {cost['hours']:.3f} h |"]
    lines += [f"| on the remote | `{result['remote']}` |"]
    create_markdown_artifact(key="result", markdown="\n".join(lines), description="The result")


def _read_result(path: Path) -> dict[str, Any]:
    try:
        return load_file(path, RESULT_BYTES)
    except (FileNotFoundError, BadJson) as error:
        raise NoResult(f"{path.name} is missing or unreadable: {error}") from error
