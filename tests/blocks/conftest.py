from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spotwave.blocks.local.machines import Machines
from tests.emulators.aws import AwsEmulator
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import emulated
from tests.emulators.gcp import GcpEmulator


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Folder of local machines; all are terminated after the test."""
    folder = tmp_path.resolve() / "machines"
    yield folder
    for machine in Machines(folder).find():
        Machines(folder).terminate(machine)


@pytest.fixture
def aws() -> Iterator[AwsEmulator]:
    with AwsEmulator(boots=False) as emulator:
        yield emulator


@pytest.fixture
def google() -> Iterator[GcpEmulator]:
    with GcpEmulator(boots=False) as emulator:
        yield emulator


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureEmulator]:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as emulator:
        yield emulator
