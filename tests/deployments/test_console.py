"""A real process that logs to a pipe without a reader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spotwave.deployments import worker

_LOGS = """
import sys
from prefect.logging import get_logger
from prefect.logging.configuration import ensure_logging_setup
ensure_logging_setup()
log = get_logger("test")
log.warning("before")
sys.stdin.readline()
for _ in range(3):
    log.warning("nobody reads this")
open(sys.argv[1], "w").write("went on")
"""


@pytest.mark.parametrize("ours", [True, False], ids=["started by Spotwave's worker", "started by Prefect"])
def test_run_outlives_reader_of_its_logs(ours: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The second case shows why LastingConsole is needed: once it passes, LastingConsole can be removed."""
    out = tmp_path_factory.mktemp("console") / "out"
    environment = {**os.environ, "PREFECT_LOGGING_TO_API_ENABLED": "false"} | (worker.SETTINGS if ours else {})
    command = [sys.executable, "-c", _LOGS, str(out)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert b"before" in process.stderr.readline()
        process.stderr.close()
        process.stdin.close()
        assert (process.wait(60) == 0) is ours
    assert out.exists() is ours
