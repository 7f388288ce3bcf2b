from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spotwave.blocks.local.machines import Machines
from tests.database import prefect_server


@pytest.fixture(scope="session")
def api() -> Iterator[None]:
    """A real Prefect server of its own, once for the tests of this room."""
    with prefect_server():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where local machines live; none survives the test."""
    folder = tmp_path.resolve() / "machines"
    yield folder
    for machine in Machines(folder).find():
        Machines(folder).terminate(machine)
