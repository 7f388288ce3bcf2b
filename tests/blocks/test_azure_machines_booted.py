"""Azure's machines that boot: their user data runs with the metadata service beside it, and they end in every way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests
from pydantic import SecretStr

from spotwave.blocks.models import LaunchBrief, Machine, MachineState
from tests.blocks.machine_kit import CLOUD_HEAD, old, until
from tests.blocks.machine_kit import brief as a_brief
from tests.emulators.azure import AzureEmulator, instead, refused
from tests.emulators.azure_kit import block, emulated, offer
from tests.emulators.azure_vault import RESOURCE
from tests.emulators.computer import Computer
from tests.processes import words

ROOT = Path(__file__).parents[2]
PLANTED = "planted-7d20aa"
CONFIG = f"[away]\ntype = local\npass = {PLANTED}\n"

IDLE = CLOUD_HEAD + "touch up\nexec sleep 600\n"
READS = CLOUD_HEAD + 'python3 cloud.py secrets "$SPOTWAVE_WORK/kept"\ntouch up\nexec sleep 600\n'
ENDS = CLOUD_HEAD + "python3 cloud.py end\n"
ENDS_IMPATIENTLY = CLOUD_HEAD + 'python3 -c "import cloud; cloud.PAUSES_S = (); cloud.end()"\n'
SWITCHES_OFF = CLOUD_HEAD + "poweroff\n"
WATCHES = (
    CLOUD_HEAD
    + f"""exec env PYTHONPATH={ROOT}/src "$SPOTWAVE_OPT/bin/python" - <<'PY'
import os, time
from spotwave.node.agent.notice import notice_watcher

def write(name, text):
    with open(name + ".part", "w") as out:
        out.write(text)
    os.rename(out.name, name)

watcher = notice_watcher(30.0)
write("up", "")
while (notice := watcher.poll()) is None:
    time.sleep(0.02)
write("noticed", str(notice.time))
time.sleep(600)
PY
"""
)


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AzureEmulator]:
    with emulated(monkeypatch, AzureEmulator(folder=tmp_path / "machines")) as emulator:
        yield emulator
    assert not any(computer.alive for computer in emulator.computers.values())


def brief(**public: object) -> LaunchBrief:
    told = a_brief()
    secrets = {"rclone.conf": SecretStr(CONFIG)}
    return replace(told, brief=replace(told.brief, **public), secrets=secrets)  # type: ignore[arg-type]


def launched(azure: AzureEmulator, template: str) -> tuple[Machine, Computer]:
    machine = block(azure).machines(template).launch(offer(), brief())
    return machine, azure.computers[machine.id]


def left(azure: AzureEmulator) -> list[str]:
    return sorted(item.kind for item in azure.ledger.left())


def up(computer: Computer) -> None:
    until((computer.work / "up").exists)


def nothing_runs(computer: Computer) -> bool:
    """True once all that ran was killed, and nothing was left to start anew."""
    try:
        found = computer.processes
        for process in found:
            process.kill()
    except psutil.NoSuchProcess:  # between the look and the blow
        return False
    return not found


def test_a_machine_reads_its_secret_and_nobody_else_does(azure: AzureEmulator) -> None:
    machine, computer = launched(azure, READS)
    up(computer)
    assert (computer.work / "kept/rclone.conf").read_text() == CONFIG
    assert json.loads((computer.work / "brief.json").read_text())["job_key"] == machine.job_key
    shown = [computer.console.read_text(), (computer.folder / "user-data").read_text(), *azure.calls]
    shown += [" ".join(words(process)) for process in computer.processes]
    assert PLANTED not in "\n".join(shown)

    vm = azure.resources.vms[machine.id]
    assert vm.metadata is not None
    its_own = f"{azure.url}/secrets/spotwave-{machine.job_key}?api-version=7.4"
    bearer = {"Authorization": f"Bearer {vm.metadata.token_for(RESOURCE)}"}
    assert requests.get(its_own, headers=bearer, timeout=10).status_code == 200
    assert requests.delete(its_own, headers=bearer, timeout=10).status_code == 403
    assert requests.get(its_own, headers={"Authorization": "Bearer guessed"}, timeout=10).status_code == 401
    block(azure).terminate(machine)
    assert requests.get(its_own, headers=bearer, timeout=10).status_code == 401
    assert not computer.alive
    assert left(azure) == ["secret"]


def test_a_machine_that_deletes_itself_leaves_nothing(azure: AzureEmulator) -> None:
    machine, computer = launched(azure, ENDS)
    until(lambda: left(azure) == ["secret"])
    assert not computer.alive
    assert block(azure).state(old(machine)) is MachineState.GONE
    block(azure).terminate(machine)


def test_one_that_may_not_delete_itself_at_least_stops_billing(azure: AzureEmulator) -> None:
    azure.fail(instead("virtualMachines.delete", refused(403, "AuthorizationFailed")))
    machine, _ = launched(azure, ENDS_IMPATIENTLY)
    until(lambda: left(azure) == ["disk", "ip", "nic", "secret"])
    azure.heal()
    cloud = block(azure)
    until(lambda: cloud.state(machine) is MachineState.INTERRUPTED)
    assert cloud.find() == [machine]
    cloud.terminate(machine)
    assert left(azure) == ["secret"]


def test_one_that_is_only_switched_off_bills_on_and_is_found(azure: AzureEmulator) -> None:
    machine, computer = launched(azure, SWITCHES_OFF)
    until(lambda: not computer.alive)
    cloud = block(azure)
    until(lambda: cloud.state(machine) is MachineState.STOPPING)
    assert "machine" in left(azure)
    assert cloud.find() == [machine]
    cloud.terminate(machine)
    assert left(azure) == ["secret"]


def test_a_notice_reaches_the_machine_before_it_is_lost(azure: AzureEmulator) -> None:
    machine, computer = launched(azure, WATCHES)
    up(computer)
    begun = time.time()
    azure.interrupt(machine.id, 3.0)
    until((computer.work / "noticed").exists)
    assert begun + 1 <= float((computer.work / "noticed").read_text()) <= time.time() + 3  # told in whole seconds
    assert block(azure).state(machine) is MachineState.RUNNING
    until(lambda: left(azure) == ["secret"])
    assert not computer.alive
    assert block(azure).state(old(machine)) is MachineState.GONE


def test_a_machine_lost_without_notice(azure: AzureEmulator) -> None:
    machine, computer = launched(azure, IDLE)
    up(computer)
    azure.interrupt(machine.id, None)
    until(lambda: left(azure) == ["secret"])
    assert not computer.alive
    assert block(azure).find() == []


def test_a_lost_answer_boots_one_machine(azure: AzureEmulator) -> None:
    first, computer = launched(azure, IDLE)
    again, _ = launched(azure, IDLE)
    assert again == first
    assert list(azure.computers.values()) == [computer]


@pytest.mark.slow(minutes=0.25)
def test_the_guard_ends_a_machine_whose_agent_was_killed(azure: AzureEmulator, tmp_path: Path) -> None:
    """The house's own bootstrap, held up by a remote that gives no code, its processes killed."""
    (tmp_path / "remote/code").mkdir(parents=True)
    told = brief(remote=f"away:{tmp_path}/remote", deadline=time.time() - 300 + 10)
    machine = block(azure).launch(offer(), told)
    computer = azure.computers[machine.id]
    until(lambda: list(computer.work.glob("bootstrap.log")))
    until(lambda: nothing_runs(computer))
    assert "machine" in left(azure)
    until(lambda: left(azure) == ["secret"])
    assert not computer.alive
    assert any(call.startswith("virtualMachines.delete") for call in azure.calls)  # it asked for it itself
