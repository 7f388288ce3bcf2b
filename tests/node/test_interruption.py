"""How a node flow without a result ends: the outcome for the agent, and the state in Prefect."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.exceptions import TerminationSignal
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings

from spotwave.node.contract import (
    BRIEF_FILE,
    ENV_WORK,
    OUTCOME_FILE,
    STOP_FILE,
    Brief,
    Cause,
    Ending,
    Outcome,
)
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.flow import Mistake
from spotwave.node.jobs.shci.scf.hartree_fock import ScfNotConverged, run_hartree_fock
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.interruption import cut_short
from spotwave.node.runtime.workspace import Workspace
from tests.node.chemistry import quiet

CRASH = {"cause": Cause.PROGRAM, "signal": 11}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace at the step run_shci, with a file in its scratch folder."""
    brief = Brief("sw-0123456789ab", 1, "/nowhere", "", vcpus=1, memory_gib=1.0, deadline=time.time() + 600)
    brief.write(tmp_path / BRIEF_FILE)
    monkeypatch.setenv(ENV_WORK, str(tmp_path))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), disable_run_logger():
        found = Workspace()
        found.tell("run_shci", 20, "at work")
        (found.scratch / "FCIDUMP").write_text("large")
        yield found


def ended_with(workspace: Workspace, error: BaseException) -> tuple[Outcome | None, str | None]:
    """Return the outcome for the agent, and the name of the state; None if the error is re-raised."""
    state = cut_short(workspace, error, (TerminationSignal,), Mistake)
    path = workspace.work / OUTCOME_FILE
    return Outcome.read(path) if path.exists() else None, None if state is None else state.name


def test_an_unexpected_exception_ends_the_job(workspace: Workspace) -> None:
    """An exception of PySCF for an atom whose pseudopotential its initial guess does not support."""
    gadolinium = Calculation(molecule="Gd 0 0 0", spin=8, basis="crenbl")
    with pytest.raises(Exception) as raised:  # noqa: PT011 - its type depends on the library
        run_hartree_fock(gadolinium, workspace.scratch / "scf.chk", max_memory_gib=1.0, log=quiet)
    outcome, state = ended_with(workspace, raised.value)
    assert state is None, "re-raised, so that Prefect logs the traceback"
    assert outcome is not None
    assert (outcome.ending, outcome.cause, outcome.step) == (Ending.FAILED, None, "run_shci")
    assert outcome.reason.startswith("numpy.linalg.LinAlgError: Last 2 dimensions of the array must be square")


@pytest.mark.parametrize(
    ("error", "ending", "facts", "state"),
    [
        (MemoryError(), Ending.LOST, {"cause": Cause.MEMORY}, "OutOfMemory"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Ending.LOST, {"cause": Cause.DISK}, "DiskFull"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), Ending.LOST, {"cause": Cause.PROGRAM}, "Died"),
        (ProgramFailed("pyci died.\nIts log", **CRASH), Ending.LOST, CRASH, "Died"),  # type: ignore[arg-type]
        (ProgramFailed("pyci: no convergence", exit_status=3), Ending.FAILED, {}, "Failed"),
        (ScfNotConverged("try a smaller basis"), Ending.FAILED, {}, "Failed"),
        (httpx.ConnectError("connection refused"), Ending.LOST, {}, "Unheard"),
    ],
    ids=repr,
)
def test_errors_that_another_machine_may_avoid(
    workspace: Workspace, error: Exception, ending: Ending, facts: dict[str, Any], state: str
) -> None:
    outcome, name = ended_with(workspace, error)
    assert name == state
    assert outcome is not None
    assert outcome == Outcome(ending, outcome.reason, step="run_shci", **facts)
    assert "Its log" not in outcome.reason
    assert (workspace.scratch / "FCIDUMP").exists() == (outcome.cause is not Cause.DISK), "space for the outcome file"


def test_stop_requests_and_signals_take_precedence(workspace: Workspace) -> None:
    assert ended_with(workspace, TerminationSignal(15)) == (None, None)
    Outcome(Ending.INTERRUPTED, "a notice").write(workspace.work / STOP_FILE)
    assert ended_with(workspace, MemoryError()) == (None, "Interrupted")
