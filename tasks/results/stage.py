"""Step: put what the machines need on the remote: what was asked, and the controller's own code."""

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

_NOT_CARRIED = {"__pycache__"}
_WHEEL = b"Wheel-Version: 1.0\nGenerator: spotwave\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in the wheel: the same code is the same file


@task(name="stage", retries=3, retry_delay_seconds=[2, 10, 30], persist_result=True, cache_policy=ONCE)
def stage(job: Job) -> float:
    """Upload job.json and the wheel of this installation; the Unix time at which the job began.

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
    """The package that this process runs from as a wheel, so that the machine runs exactly that.

    Written from what is installed, be it a wheel or a checkout: nothing is built, no network is needed.
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
    """Name in the wheel and content of each file of the package, in one order."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name in _NOT_CARRIED:
            continue
        if entry.is_dir():
            yield from _files_of(entry, f"{place}/{entry.name}")
        else:
            yield f"{place}/{entry.name}", entry.read_bytes()


def _asked(job: Job) -> dict[str, object]:
    """job.json: parameters, requirements, versions."""
    packages = ("spotwave", "prefect", "pyscf", "numpy", "polars")
    return {
        "job": job.model_dump(mode="json"),
        "versions": {name: version(name) for name in packages},
    }
