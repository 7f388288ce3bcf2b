"""Forged notes in a local machine's folder on its processes and its end, which must not be trusted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.processes import is_alive
from spotwave.node.contract import ENV_MACHINE
from tests.blocks.machine_kit import brief, offer
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_receipt import a_machine


def noted_root(content: Any) -> Callable[[Path], object]:
    """root.json has the pid of another process: the test's own."""

    def carry_out(folder: Path) -> None:
        machines = Machines(folder)
        machine = a_machine(an_offer()).model_copy(update={"id": "sw-0-1-t", "job_key": "sw-0"})
        place = machines.place(machine)
        place.mkdir(parents=True)
        (place / "root.json").write_text(content if isinstance(content, str) else json.dumps(content))
        started = time.monotonic()
        assert not machines._root_alive(machine)
        assert time.monotonic() - started < 10

    return carry_out


def noted_end(content: str) -> Callable[[Path], object]:
    def carry_out(folder: Path) -> None:
        machines = Machines(folder)
        machine = a_machine(an_offer()).model_copy(update={"id": "sw-0-1-t"})
        place = machines.place(machine)
        place.mkdir(parents=True)
        (place / "ended.json").write_text(content)
        until = machines.billed_until(machine)
        assert until is None or machine.launched_at <= until <= datetime.now(UTC)

    return carry_out


def an_id_that_leads_elsewhere(folder: Path) -> None:
    machines = Machines(folder / "machines")
    for name in ("secrets", "home", "machines"):
        (folder / name).mkdir()
    machine = a_machine(offer()).model_copy(update={"id": "..", "job_key": brief().brief.job_key})
    with pytest.raises(ValueError, match="not a valid machine id"):
        machines.terminate(machine)
    assert (folder / "home").exists()
    assert (folder / "secrets").exists()


def another_process(_: Path) -> None:
    import psutil

    me = psutil.Process()
    assert not is_alive(me.pid, me.create_time(), {ENV_MACHINE: "x"})
