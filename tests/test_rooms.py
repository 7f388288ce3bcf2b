"""Allowed imports between the top-level folders (docs/architecture.md), checked in the source code."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "blocks", "node", "deployments", "tests", "benchmarks")
MAY_IMPORT = {
    "flows": {"flows", "tasks", "blocks", "node"},
    "tasks": {"tasks", "blocks", "node"},
    "blocks": {"blocks", "node"},
    "node": {"node"},
    "deployments": {"deployments", "flows", "blocks", "node"},
}
# Modules of `node` that the controller's code may import: the contract, the remote's wrapper and its manifest, the
# patterns of secrets, and for a story the modules that describe its input and result (its kind's folder in node/jobs,
# see `test_job_kind_is_imported_only_by_its_story`). Both sides parse untrusted data with node/untrusted.
BOTH = {"node.contract", "node.identity", "node.input_error", "node.untrusted"}
OF_NODE = {
    "flows": {
        "node.jobs.shci.calculation",
        "node.jobs.shci.digits",
        "node.jobs.shci.programs",
        "node.jobs.shci.reference",
    }
    | BOTH,
    "tasks": {"node.storage.manifest", "node.storage.remote"} | BOTH,
    "blocks": {"node.storage.remote", "node.storage.secret_patterns"} | BOTH,
    "deployments": {"node.agent.prefect_server"} | BOTH,
}
CLOUD_SDKS = {"boto3", "botocore", "google", "azure", "prefect_aws", "prefect_gcp", "prefect_azure", "requests"}


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Return the imported modules; Spotwave's modules without the prefix `spotwave`."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            # `from spotwave.tasks import api` means spotwave.tasks.api
            found |= {f"{item.module}.{alias.name}" for alias in item.names} | {item.module}
    return {name.removeprefix("spotwave.") for name in found}


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folder_imports_only_allowed_folders(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(folder)
        for name in imports_of(path)
        if name.partition(".")[0] in FOLDERS and name.partition(".")[0] not in MAY_IMPORT[folder]
    ]
    assert not wrong


@pytest.mark.parametrize("folder", OF_NODE)
def test_controller_imports_only_allowed_node_modules(folder: str) -> None:
    allowed = OF_NODE[folder]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(folder)
        for name in imports_of(path)
        if name.startswith("node.") and not any(name == one or name.startswith(f"{one}.") for one in allowed)
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ["flows", "tasks", "node"])
def test_no_cloud_sdk_outside_blocks(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(folder)
        for name in imports_of(path)
        if name.partition(".")[0] in CLOUD_SDKS
    ]
    assert not wrong


def test_gpl_program_is_imported_only_in_its_own_process() -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for folder in MAY_IMPORT
        for path in files_of(folder)
        if any(name.partition(".")[0] == "pyci" for name in imports_of(path))
    }
    assert importers
    for importer in importers:
        others = [
            path.relative_to(ROOT).as_posix()
            for folder in MAY_IMPORT
            for path in files_of(folder)
            if path.relative_to(ROOT).as_posix() not in importers
            and importer.removesuffix(".py").replace("/", ".") in imports_of(path)
        ]
        assert not others, f"{importer} must run in its own process, but {others} import it"


def test_tasks_do_not_name_clouds() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{item.lineno}"
        for path in files_of("tasks")
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.Constant) and item.value in {"aws", "gcp", "azure", "local"}
    ]
    assert not named


MOST_LINES = 300


def test_files_are_short() -> None:
    """Each file should have one responsibility."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for folder in FOLDERS
        for path in files_of(folder)
    }
    long = {f"{name}: {lines}" for name, lines in lengths.items() if lines > MOST_LINES}
    assert not long
