"""A new kind of job needs only one file in flows/ and one folder in node/jobs/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spotwave.deployments.home import Home
from tests.conftest import processes_of
from tests.installed import build, install

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy_story"


FOLDERS = ("flows", "tasks", "blocks", "node", "deployments")


@pytest.mark.thorough
def test_new_story_gets_its_deployments(tmp_path: Path) -> None:
    """Copies the tree, adds the toy story's two files and changes nothing else."""
    package = tmp_path / "spotwave"
    shutil.copytree(ROOT / "src" / "spotwave", package, ignore=shutil.ignore_patterns(*FOLDERS, "__pycache__"))
    for name in FOLDERS:
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TOY, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import json; from spotwave.deployments.story_deployments import all_deployments;"
        "print(json.dumps([one.model_dump(mode='json') for one in all_deployments()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    deployments = {one["entrypoint"]: one for one in json.loads(done.stdout)}
    assert deployments["spotwave.flows.toy.toy"]["name"] == "hello"
    assert deployments["spotwave.flows.toy.toy"]["parameters"] == {"text": "hello"}
    assert deployments["spotwave.node.jobs.toy.flow.toy_node"]["work_pool"]["name"] == "machines"
    assert "spotwave.flows.shci.shci" in deployments


@pytest.mark.thorough
@pytest.mark.slow
def test_new_story_runs_end_to_end(tmp_path: Path) -> None:
    home, elsewhere = Home(tmp_path / "home"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    installed = install(build("wheel", ROOT, tmp_path / "wheel"), tmp_path / "installed")
    package = installed.packages / "spotwave"
    shutil.copytree(TOY, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def spotwave(*arguments: str) -> subprocess.CompletedProcess[str]:
        return installed.call("spotwave", *arguments, cwd=elsewhere, user=tmp_path, SPOTWAVE_HOME=str(home.path))

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
