"""A new kind of job is one file in flows/ and one folder in node/jobs/, and runs from there without another change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spotwave.deployments.home import Home
from spotwave.tasks.results.stage import build_wheel
from tests.conftest import _OWN, processes_of

pytestmark = pytest.mark.slow

TOY = Path(__file__).parents[1] / "toy_story"


def test_a_new_story_runs_end_to_end(tmp_path: Path) -> None:
    site, home = tmp_path / "site", Home(tmp_path / "home")
    with zipfile.ZipFile(build_wheel(tmp_path / "wheel")) as wheel:
        wheel.extractall(site)
    shutil.copytree(TOY, site / "spotwave", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def spotwave(*arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "spotwave.deployments.cli", *arguments],
            cwd=tmp_path / "elsewhere",
            env={**_OWN, "PYTHONPATH": str(site), "SPOTWAVE_HOME": str(home.path), "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )

    try:
        done = spotwave("run", "toy/hello")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = dict(
            line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("letters", "results"))
        )
        assert rows["letters"] == "5"
        result = json.loads((Path(rows["results"]) / "result.json").read_text())
        assert (result["letters"], result["answer"], len(result["attempts"])) == (5, "5 letters", 1)
        refused = spotwave("run", "toy/hello", "-p", 'text=""')
        assert refused.returncode == 1
        assert "text: it is empty. Give some letters." in refused.stdout
    finally:
        down = spotwave("down")
    assert down.returncode == 0, down.stderr
    assert not processes_of(home), os.fspath(home.path)
