"""Fixtures that run every test of this folder for each provider: `wing` is each of the four, `rented` each emulated
cloud, `booting` each emulated cloud with machines that run their user data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blocks.conformance import aws_wing, azure_wing, gcp_wing, local_wing
from tests.blocks.conformance.wing import RentedWing, Wing

RENTED = {"aws": aws_wing.made, "gcp": gcp_wing.made, "azure": azure_wing.made}
ALL = {**RENTED, "local": local_wing.made}


@pytest.fixture(params=list(ALL))
def wing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wing]:
    with ALL[request.param](tmp_path / "machines", boots=False) as found:
        yield found


@pytest.fixture(params=list(RENTED))
def rented(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RentedWing]:
    with RENTED[request.param](tmp_path / "machines", boots=False) as found:
        yield found


@pytest.fixture(params=list(RENTED))
def booting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RentedWing]:
    with RENTED[request.param](tmp_path / "machines", boots=True) as found:
        yield found
    assert not any(computer.alive for computer in found.emulator.computers.values())
