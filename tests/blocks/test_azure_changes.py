"""Deletion time of a machine, which Resource Graph reports minutes later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.changes import literal
from spotwave.blocks.errors import LaunchRefused, Throttled, Unclear
from spotwave.blocks.models import Machine
from tests.blocks.machine_kit import brief, until
from tests.emulators.azure import AzureEmulator, empty, fault, instead, refused, server_error, throttled
from tests.emulators.azure_kit import block, emulated, offer
from tests.emulators.server import Answer, cut, garbage


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureEmulator]:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as emulator:
        emulator.resources.changes.lag_s = 0.0
        yield emulator


@pytest.fixture
def cloud(azure: AzureEmulator) -> AzureCloud:
    return block(azure)


@pytest.fixture
def machine(cloud: AzureCloud) -> Machine:
    return cloud.launch(offer(), brief())[0]


def ended_at(azure: AzureEmulator, machine: Machine) -> datetime:
    """Return when the machine ended, from the ledger."""
    (item,) = [one for one in azure.ledger.items("machine") if one.id == machine.id]
    assert item.ended is not None
    return datetime.fromtimestamp(item.ended, UTC)


def near(found: datetime | None, right: datetime) -> bool:
    return found is not None and abs(found - right) < timedelta(seconds=0.1)


def test_deletion_time_of_terminated_and_evicted_machines(
    azure: AzureEmulator, cloud: AzureCloud, machine: Machine
) -> None:
    assert cloud.billed_until(machine) is None, "it is still running"
    cloud.terminate(machine)
    assert near(cloud.billed_until(machine), ended_at(azure, machine))
    [evicted] = cloud.launch(offer(), brief(attempt=2))
    azure.interrupt(evicted.id, None)
    until(lambda: cloud.billed_until(evicted) is not None)
    assert near(cloud.billed_until(evicted), ended_at(azure, evicted))


def test_deletion_time_is_unknown_at_first(azure: AzureEmulator, cloud: AzureCloud, machine: Machine) -> None:
    changes = azure.resources.changes
    changes.lag_s = 3600.0
    cloud.terminate(machine)
    assert cloud.billed_until(machine) is None
    changes.lag_s = 0.2
    until(lambda: cloud.billed_until(machine) is not None, 5)
    assert near(cloud.billed_until(machine), ended_at(azure, machine))


def test_deletions_of_other_machines_with_the_same_name(
    azure: AzureEmulator, cloud: AzureCloud, machine: Machine
) -> None:
    """Ignores the deletion of an earlier and of a later machine."""
    machine = machine.model_copy(update={"launched_at": machine.launched_at - timedelta(minutes=5)})
    changes, born = azure.resources.changes, machine.launched_at.timestamp()
    changes.note("Delete", machine.id, born - 60)
    assert cloud.billed_until(machine) is None
    changes.note("Delete", machine.id.upper(), born + 10)
    changes.note("Create", machine.id, born + 20)
    changes.note("Delete", machine.id, born + 30)
    assert near(cloud.billed_until(machine), datetime.fromtimestamp(born + 10, UTC))


@pytest.mark.parametrize("name", ["a' or 1 == 1 //", "a\\' or 1 == 1 //", "a\\", "a | take 1", 'a" or "', "ä"])
def test_hostile_id_is_escaped(cloud: AzureCloud, machine: Machine, name: str) -> None:
    cloud.terminate(machine)
    other = machine.model_copy(update={"id": f"{machine.id.rpartition('/')[0]}/{name}"})
    assert cloud.billed_until(other) is None


@pytest.mark.parametrize("id_", ["", "nothing", "/subscriptions/s/resourcegroups/g/providers/a/b/c\n| take 1"])
def test_invalid_id_is_not_queried(azure: AzureEmulator, cloud: AzureCloud, machine: Machine, id_: str) -> None:
    with pytest.raises(Unclear, match="not a resource ID"):
        cloud.billed_until(machine.model_copy(update={"id": id_}))
    assert "graph" not in azure.calls


def test_kusto_string_literals() -> None:
    assert literal("plain") == "'plain'"
    assert literal("a'b\\c") == r"'a\'b\\c'"


@pytest.mark.parametrize("answer", [server_error(), throttled(), cut(), garbage(), refused(403, "AuthorizationFailed")])
def test_failed_query_raises_launch_refused(
    azure: AzureEmulator, cloud: AzureCloud, machine: Machine, answer: Answer
) -> None:
    cloud.terminate(machine)
    azure.fail(instead("graph", answer))
    with pytest.raises(LaunchRefused, match="reading the time of deletion"):
        cloud.billed_until(machine)
    azure.heal()
    assert cloud.billed_until(machine) is not None


def test_throttled_query_is_retried(azure: AzureEmulator, cloud: AzureCloud, machine: Machine) -> None:
    cloud.terminate(machine)
    azure.fail(instead("graph", throttled(), times=1))
    begun = time.monotonic()
    assert cloud.billed_until(machine) is not None
    assert time.monotonic() - begun < 30


def test_answer_without_usable_rows(azure: AzureEmulator, cloud: AzureCloud, machine: Machine) -> None:
    cloud.terminate(machine)
    azure.fail(fault("graph", empty(), times=1))
    assert cloud.billed_until(machine) is None
    azure.fail(fault("graph", lambda request, said: said.__class__(b"{}"), times=1))
    with pytest.raises(Throttled, match="no 'data'"):
        cloud.billed_until(machine)
    rows = b'{"totalRecords":1,"count":1,"data":[{"at":"soon"},{"at":null},{}],"facets":[],"resultTruncated":"false"}'
    azure.fail(fault("graph", lambda request, said: said.__class__(rows), times=1))
    assert cloud.billed_until(machine) is None
