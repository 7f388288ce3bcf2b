"""The folder of a run's results: in the working directory where it was started, else in the home."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from spotwave.blocks.home import ENV_HOME, ENV_RESULTS, ENV_RESULTS_HOST, results_folder
from spotwave.deployments.home import Home
from spotwave.deployments.results import collected, job_variables, results_here


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path.resolve() / "home")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path.resolve() / "a project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_run_uses_folder_of_its_start(home: Home, project: Path) -> None:
    """In the run's process, the variables that Prefect's worker adds override the worker's own environment."""
    variables = job_variables(results_here(home))
    process = {ENV_HOME: str(home.path), ENV_RESULTS: str(home.results)} | variables["env"]
    assert results_folder(process) == project / "results"
    assert list(project.iterdir()) == []


def test_run_without_folder_uses_home(home: Home) -> None:
    assert results_folder({ENV_HOME: str(home.path)}) == home.results


def test_folder_of_another_computer_is_not_created(home: Home, project: Path) -> None:
    process = {ENV_HOME: str(home.path)} | job_variables(project / "results")["env"]
    assert process[ENV_RESULTS_HOST] == socket.gethostname()
    assert results_folder(process | {ENV_RESULTS_HOST: "elsewhere"}) == home.results


@pytest.mark.parametrize("named", ["results", "/a/../b", "/a\nb", "/" + "a" * 5000, "~/results"])
def test_invalid_folder_gives_one_line(named: str) -> None:
    with pytest.raises(ValueError, match=f"^{ENV_RESULTS}: ") as error:
        results_folder({ENV_RESULTS: named})
    assert "\n" not in str(error.value)


def test_results_that_is_not_a_folder_is_skipped(home: Home, project: Path) -> None:
    (project / "results").write_text("a file of the user's")
    assert results_here(home) == home.results
    (project / "results").unlink()
    (project / "results").symlink_to(project / "nowhere")
    assert results_here(home) == home.results


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a folder")
def test_folder_of_another_user_is_skipped(home: Home, project: Path) -> None:
    (project / "results").mkdir()
    assert results_here(home) == project / "results"
    os.chown(project / "results", 65534, 65534)
    assert results_here(home) == home.results


def test_removed_working_directory_is_skipped(home: Home, project: Path) -> None:
    project.rmdir()
    assert results_here(home) == home.results


def test_results_are_found_where_collected(home: Home, project: Path) -> None:
    assert collected("sw-1", project / "results", home.results) is None
    (home.results / "sw-1").mkdir(parents=True)
    (home.results / "sw-1" / "result.json").write_text("{}")
    assert collected("sw-1", project / "results", home.results) == home.results / "sw-1"
