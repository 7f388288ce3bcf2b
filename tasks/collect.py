"""Step: bring the results home, verified, with what they cost, and show them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from node.contract import OUTPUT_DIR, RESULT_FILE, attempt_dir, write_text
from tasks.documents import load_remote
from tasks.job import Attempt, Job, Quote
from tasks.once import ONCE
from tasks.receipt import as_told, cost_of


class NoResult(RuntimeError):
    """The remote holds no readable result although the attempt says that it completed."""


@task(name="collect", retries=3, retry_delay_seconds=[2, 10, 30], persist_result=True, cache_policy=ONCE)
def collect(job: Job, attempts: list[Attempt], quote: Quote | None = None) -> dict[str, Any]:
    """Download the output into `results/<job key>/`, check it against the remote, add attempts and cost; the result.

    The completed result goes back to the remote too, so that both places tell the same; a cost that is corrected later
    (flows.late_word) is so here alone. Raises NoResult, RemoteError.
    """
    home = job.results
    home.mkdir(parents=True, exist_ok=True)
    with load_remote(job.remote).job(job.key) as remote:
        # Into a folder of its own first: only what has been checked may stand among the results.
        with TemporaryDirectory(prefix=".incoming-", dir=home) as folder:
            remote.download(OUTPUT_DIR, Path(folder))
            remote.verify(Path(folder), OUTPUT_DIR)
            shutil.copytree(folder, home, dirs_exist_ok=True)
        for attempt in attempts:
            logs = attempt_dir(attempt.number)
            if remote.list(logs):
                remote.download(logs, home / logs)
        result = _read_result(home / Path(RESULT_FILE).name)
        result |= {
            "job_key": job.key,
            "remote": remote.root,
            "attempts": [as_told(attempt) for attempt in attempts],
            "cost": cost_of(attempts, quote),
        }
        write_text(home / Path(RESULT_FILE).name, json.dumps(result, indent=1) + "\n")
        remote.upload(home / Path(RESULT_FILE).name, RESULT_FILE)
    get_run_logger().info("results are in %s", home)
    return result


@task(name="show_result")
def show_result(result: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    """Draw the artifact `result`: the story's own rows, then machines and cost."""
    cost = result["cost"]
    lines = ["| | |", "|--|--|", *(f"| {name} | {value} |" for name, value in rows)]
    lines += [f"| machines | {len(result['attempts'])} |", f"| cost | {cost['usd']:.4f} USD in {cost['hours']:.3f} h |"]
    lines += [f"| on the remote | `{result['remote']}` |"]
    create_markdown_artifact(key="result", markdown="\n".join(lines), description="The answer")


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise NoResult(f"{path.name} is missing or unreadable: {error}") from error
    if not isinstance(result, dict):
        raise NoResult(f"{path.name} holds no JSON object")
    return result
