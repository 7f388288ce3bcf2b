"""`spotwave run`: one-line errors for invalid runs (tests/flows/test_shci.py tests a valid one)."""

from __future__ import annotations

import pytest

from tests.conftest import Embedded

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["shci/nothing"], "The deployment 'shci/nothing' does not exist", marks=pytest.mark.thorough),
        (["shci/water-dimer", "-p", "bais=sto-3g"], "has no parameter 'bais'; it has"),
        pytest.param(["shci/water-dimer", "-p", "frozen_core=perhaps"], "frozen_core", marks=pytest.mark.thorough),
        pytest.param(["shci/water-dimer", "-p", "basis"], "write it as key=value", marks=pytest.mark.thorough),
    ],
)
def test_invalid_run_gives_one_line(embedded: Embedded, arguments: list[str], complaint: str) -> None:
    done = embedded.spotwave("run", *arguments)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
