"""Step: put what the machines need on the remote: what was asked, and the controller's own code."""

from __future__ import annotations

import json
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.logging import get_run_logger

from node.contract import CODE_DIR, JOB_FILE, write_text
from tasks.documents import load_remote
from tasks.job import Job
from tasks.once import ONCE

ROOT = Path(__file__).resolve().parent.parent


@task(name="stage", retries=3, retry_delay_seconds=[2, 10, 30], persist_result=True, cache_policy=ONCE)
def stage(job: Job) -> float:
    """Upload job.json and the wheel of this checkout; the Unix time at which the job began.

    Raises RemoteError if the remote refuses.
    """
    begun = time.time()
    with TemporaryDirectory(prefix="spotwave-") as folder:
        staged = Path(folder)
        write_text(staged / JOB_FILE, json.dumps(_asked(job), indent=1, sort_keys=True))
        wheel = build_wheel(staged / CODE_DIR)
        with load_remote(job.remote).job(job.key) as remote:
            remote.upload(staged, "")
            remote.verify(staged, "")
        get_run_logger().info("%s and %s are on the remote", JOB_FILE, wheel.name)
    return begun


def build_wheel(folder: Path) -> Path:
    """The wheel of the checkout that this process runs from, so that the machine runs exactly that.

    Built with the library and not with a front end: no network, no environment of its own, 0.1 s.
    """
    from hatchling.builders.wheel import WheelBuilder  # only here: every start of the flow would wait for it

    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="spotwave-wheel-") as built:
        wheel = Path(next(WheelBuilder(str(ROOT)).build(directory=built, versions=["standard"])))
        return Path(shutil.move(wheel, folder / wheel.name))


def _asked(job: Job) -> dict[str, object]:
    """job.json: parameters, requirements, versions."""
    packages = ("spotwave", "prefect", "pyscf", "numpy", "polars")
    return {
        "job": job.model_dump(mode="json"),
        "versions": {name: version(name) for name in packages},
    }
