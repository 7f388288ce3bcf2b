"""What may import what: the house plan of docs/architecture.md, read off the code."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "tasks", "blocks", "node", "deployments", "tests", "benchmarks")
MAY_IMPORT = {
    "flows": {"flows", "tasks", "blocks", "node"},
    "tasks": {"tasks", "blocks", "node"},
    "blocks": {"blocks", "node"},
    "node": {"node"},
    "deployments": {"deployments", "flows", "blocks", "node"},
}
# All that the controller's side may know of the machine's: the contract, the remote's wrapper and its manifest, the
# patterns of secrets, and, for a story, what describes its input and its result (its kind's folder in node/jobs, see
# `test_a_kind_of_job_is_known_to_its_own_story_alone`). Both sides read what others wrote (node/untrusted) in one way.
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
    """Modules, those of ours by their place below `spotwave`."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            # `from spotwave.tasks import api` means spotwave.tasks.api
            found |= {f"{item.module}.{alias.name}" for alias in item.names} | {item.module}
    return {name.removeprefix("spotwave.") for name in found}


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imports_of(path)
        if name.partition(".")[0] in ROOMS and name.partition(".")[0] not in MAY_IMPORT[room]
    ]
    assert not wrong


@pytest.mark.parametrize("room", OF_NODE)
def test_the_controller_knows_only_the_contract_of_the_machine(room: str) -> None:
    allowed = OF_NODE[room]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imports_of(path)
        if name.startswith("node.") and not any(name == one or name.startswith(f"{one}.") for one in allowed)
    ]
    assert not wrong


@pytest.mark.parametrize("room", ["flows", "tasks", "node"])
def test_no_cloud_sdk_outside_the_wings(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imports_of(path)
        if name.partition(".")[0] in CLOUD_SDKS
    ]
    assert not wrong


def test_the_gpl_program_is_imported_by_its_own_process_alone() -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for room in MAY_IMPORT
        for path in files_of(room)
        if any(name.partition(".")[0] == "pyci" for name in imports_of(path))
    }
    assert importers
    for importer in importers:
        others = [
            path.relative_to(ROOT).as_posix()
            for room in MAY_IMPORT
            for path in files_of(room)
            if path.relative_to(ROOT).as_posix() not in importers
            and importer.removesuffix(".py").replace("/", ".") in imports_of(path)
        ]
        assert not others, f"{importer} runs in a process of its own, yet {others} import it"


def test_no_cloud_is_named_in_a_task() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{item.lineno}"
        for path in files_of("tasks")
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.Constant) and item.value in {"aws", "gcp", "azure", "local"}
    ]
    assert not named


MOST_LINES = 300


def test_no_file_is_long() -> None:
    """A file has one duty."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for room in ROOMS
        for path in files_of(room)
    }
    long = {f"{name}: {lines}" for name, lines in lengths.items() if lines > MOST_LINES}
    assert not long
