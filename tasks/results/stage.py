"""Step: upload what the machines need: the job's parameters, and the controller's own code."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.logging import get_run_logger

from spotwave.node.contract import CODE_DIR, JOB_FILE, write_text
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.records import Job

_EXCLUDED = {"__pycache__"}
_WHEEL = b"Wheel-Version: 1.0\nGenerator: spotwave\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # timestamp of every file in the wheel, so that the same code gives the same file


@task(name="stage", retries=3, retry_delay_seconds=[2, 10, 30], persist_result=True, cache_policy=ONCE)
def stage(job: Job) -> float:
    """Upload job.json and the wheel of this installation; return the Unix time at which the job started.

    Raises RemoteError if the remote refuses.
    """
    begun = time.time()
    with TemporaryDirectory(prefix="spotwave-") as folder:
        staged = Path(folder)
        write_text(staged / JOB_FILE, json.dumps(_job_file(job), indent=1, sort_keys=True))
        wheel = build_wheel(staged / CODE_DIR)
        with load_remote(job.remote).job(job.key) as remote:
            remote.upload(staged, "")
            remote.verify(staged, "")
        get_run_logger().info("uploaded %s and %s to the remote", JOB_FILE, wheel.name)
    return begun


def build_wheel(folder: Path) -> Path:
    """Build a wheel of the package that this process runs from, so that the machine runs exactly this code.

    Written from the installed files (of a wheel or a checkout), so it needs no build step and no network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    release = version("spotwave")
    wheel = folder / f"spotwave-{release}-py3-none-any.whl"
    info = f"spotwave-{release}.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        contents = dict(_files_of(files("spotwave"), "spotwave"))
        contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: spotwave\nVersion: {release}\n".encode()
        contents[f"{info}/WHEEL"] = (
            b"Wheel-Version: 1.0\nGenerator: spotwave\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        contents[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*contents, f"{info}/RECORD"]).encode()
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return wheel


def _files_of(folder: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    """Yield name in the wheel and content of each file of the package, in sorted order."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name in _EXCLUDED:
            continue
        if entry.is_dir():
            yield from _files_of(entry, f"{place}/{entry.name}")
        else:
            yield f"{place}/{entry.name}", entry.read_bytes()


def _job_file(job: Job) -> dict[str, object]:
    """Return the content of job.json: parameters, requirements, versions."""
    packages = ("spotwave", "prefect", "pyscf", "numpy", "polars")
    return {
        "job": job.model_dump(mode="json"),
        "versions": {name: version(name) for name in packages},
    }
