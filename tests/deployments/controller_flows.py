"""Flows that misbehave in a controller's thread (test_controller)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger


@flow
def writes(line: str) -> str:
    """Log a line."""
    get_run_logger().info(line)
    return line


@flow
def never_yields(until: str) -> None:
    """Compute without a pause until the file exists."""
    while not os.path.exists(until):
        sum(range(10_000))


@flow
def waits(until: str) -> None:
    """Wait until the file exists."""
    while not Path(until).exists():
        time.sleep(0.05)


@flow
def raises() -> None:
    raise ValueError("a fault of the flow")


@flow
def exits() -> None:
    """End the process, as some libraries do."""
    sys.exit("a library ends the process")
