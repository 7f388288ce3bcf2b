from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def api() -> Iterator[None]:
    """A real Prefect server of its own, once for the tests of this room."""
    with prefect_test_harness(server_startup_timeout=60):
        yield
