"""The node index in what the controller keeps of a machine: ledger, billing record, receipt."""

from __future__ import annotations

from pathlib import Path

from spotwave.blocks.models import Machine
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.billing_record import BillingRecord, MachineBill, not_ended
from spotwave.tasks.cost.receipt import as_markdown, attempt_to_dict, cost_of
from spotwave.tasks.records import Attempt
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job
from tests.tasks.test_receipt import an_attempt

NODES = 3
AT = 1.8e9


def of_node(node: int) -> Attempt:
    one = an_attempt(1, 2.0, an_offer(spot_usd_h=0.5))
    machine = one.machine.model_copy(update={"node": node, "id": f"machine-{node}"})
    return one.model_copy(update={"machine": machine})


def test_the_ledger_has_an_entry_for_every_node(tmp_path: Path) -> None:
    store, job = SnapshotStore(url=str(tmp_path)), a_job()
    ledger.write(store, ledger.reservation(job, 1, 9.0, AT, AT + 3600, None))
    for one in map(of_node, range(NODES)):
        assert one.bill is not None
        ledger.write(store, ledger.ended(job, one.machine, one.bill, AT, None))
    entries = ledger.read(store)
    assert [(one.node, one.name, one.state) for one in entries] == [
        (0, f"{job.key}-1", "ended"),
        (1, f"{job.key}-1-n1", "ended"),
        (2, f"{job.key}-1-n2", "ended"),
    ]
    assert sum(one.usd for one in entries) == sum(of_node(node).usd for node in range(NODES))


def test_an_entry_of_an_earlier_version_is_node_0s() -> None:
    entry = ledger.reservation(a_job(), 1, 9.0, AT, AT + 3600, None)
    old = {name: value for name, value in entry.model_dump(mode="json").items() if name != "node"}
    assert ledger.Entry.model_validate(old) == entry


def test_the_billing_record_is_open_until_every_node_has_its_bill() -> None:
    record = BillingRecord(job=a_job()).reserving(1, AT)
    for one in map(of_node, range(NODES)):
        record = record.having(MachineBill(attempt=not_ended(one.machine), cloud="aws", reserved_at=AT))
    assert [one.attempt.machine.node for one in record.machines] == [0, 1, 2]
    for node in (2, 0, 1):
        assert record.open
        record = record.having(MachineBill(attempt=of_node(node), cloud="aws", reserved_at=AT))
    assert not record.open
    assert [one.machine.node for one in record.attempts] == [0, 1, 2]
    assert BillingRecord.model_validate_json(record.model_dump_json()) == record


def test_the_receipt_has_a_row_for_every_node_and_adds_them_up() -> None:
    attempts = [of_node(node) for node in range(NODES)]
    cost = cost_of(attempts)
    assert cost["usd"] == round(sum(one.usd for one in attempts), 6)
    rows = [line.split(" | ")[0] for line in as_markdown(attempts, None, cost).splitlines() if "here t r" in line]
    assert rows == ["| 1", "| 1, node 1", "| 1, node 2"]
    assert [attempt_to_dict(one)["node"] for one in attempts] == [0, 1, 2]


def test_a_machine_of_an_earlier_version_is_node_0() -> None:
    machine = of_node(0).machine
    old = {name: value for name, value in machine.model_dump(mode="json").items() if name != "node"}
    assert Machine.model_validate(old) == machine
