"""A job whose receipt is still open, with a fake cloud and a fake Prefect."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import Machine
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.housekeeping.settle_bills import settle_bills
from spotwave.tasks.cost import billing_record, ledger
from spotwave.tasks.cost.billing_record import BillingRecord, MachineBill, not_ended
from spotwave.tasks.cost.receipt import bill_from_cloud, keep
from spotwave.tasks.load_blocks import NoSuchBlock
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job
from tests.tasks.test_receipt import a_machine

BEGUN = datetime.now(UTC) - timedelta(minutes=10)
SEEN, TRUE = BEGUN + timedelta(seconds=60), BEGUN + timedelta(seconds=40)
CLOUD = "azure-cloud/here"


class FakeCloud:
    """Returns the given answers, and counts its calls."""

    least_billed_s: ClassVar[float] = 0.0
    tells_end_late: ClassVar[bool] = True

    def __init__(self) -> None:
        self.reported_end: datetime | None = None
        self.away = False
        self.listed: list[Machine] = []
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise Throttled("the cloud is away")

    def billed_until(self, machine: Machine) -> datetime | None:
        self._ask()
        return self.reported_end

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        return [(machine.launched_at, 3.6)]  # a tenth of a cent per second

    def find(self, job_key: str | None = None) -> list[Machine]:
        self._ask()
        return self.listed


class FakePrefect:
    """A run in some state, and the created artifacts."""

    def __init__(self) -> None:
        self.state: State[Any] | None = Completed()
        self.artifacts: list[Any] = []

    def read_flow_run(self, run_id: object) -> SimpleNamespace:
        if self.state is None:
            raise ObjectNotFound(http_exc=LookupError("deleted"))
        return SimpleNamespace(state=self.state)

    def create_artifact(self, artifact: object) -> None:
        self.artifacts.append(artifact)


class Scene:
    """One job with one machine, which ended after 40 s and was found gone after 60 s."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.prefect = FakeCloud(), FakePrefect()
        self.store = SnapshotStore(url=str(folder / "store"))
        run = uuid4()
        self.job = a_job(key=f"sw-{run.hex[:12]}", flow_run_id=run, results=folder / "results", clouds=[CLOUD])
        self.machine = a_machine(an_offer(spot_usd_h=3.6)).model_copy(
            update={"job_key": self.job.key, "launched_at": BEGUN}
        )
        monkeypatch.setattr("spotwave.flows.housekeeping.settle_bills.load_cloud", lambda name: self._block(name))
        monkeypatch.setattr("spotwave.flows.housekeeping.settle_bills.load_store", lambda name: self.store)
        self.gone_block = False

    def _block(self, name: str) -> FakeCloud:
        assert name == CLOUD
        if self.gone_block:
            raise NoSuchBlock("clouds: there is no such block")
        return self.cloud

    def job_ends(self, *, with_result: bool = True) -> None:
        """Leave the files of a finished job, with the end as its engine observed it."""
        at = BEGUN.timestamp()
        ledger.write(self.store, ledger.reservation(self.job, 1, 99.0, at, at, None))
        bill, _ = bill_from_cloud(self.cloud, self.machine, SEEN, 0)  # type: ignore[arg-type]
        attempt = not_ended(self.machine).model_copy(update={"bill": bill, "ended_at": bill.ended_at})
        ledger.write(self.store, ledger.ended(self.job, self.machine, bill, at, None))
        went = MachineBill(attempt=attempt, cloud=CLOUD, reserved_at=at, gone=SEEN)
        kept = BillingRecord(job=self.job).reserving(1, at).having(went)
        billing_record.keep(kept)
        keep(self.job, kept.attempts, None, 0.0)
        if with_result:
            (self.job.results / "result.json").write_text(json.dumps({"energy": -1.0, "cost": {"usd": 0.06}}))
        self.cloud.asked = 0

    def machine_is_left(self) -> None:
        """Leave the files of a controller that ended while its machine was running."""
        at = BEGUN.timestamp()
        ledger.write(self.store, ledger.reservation(self.job, 1, 99.0, at, at, None))
        billing_record.keep(
            BillingRecord(job=self.job).having(
                MachineBill(attempt=not_ended(self.machine), cloud=CLOUD, reserved_at=at)
            )
        )
        self.cloud.listed = [self.machine]
        self.prefect.state = Failed()

    def look(self) -> dict[str, str]:
        return settle_bills(self.prefect)  # type: ignore[arg-type]

    @property
    def action(self) -> str:
        return self.look().get(f"receipt of {self.job.key}", "")

    @property
    def receipt(self) -> dict[str, Any]:
        found = json.loads((self.job.results / "receipt.json").read_text())
        assert isinstance(found, dict)
        return found

    @property
    def entries(self) -> list[ledger.Entry]:
        return ledger.read(self.store)

    @property
    def open(self) -> bool:
        return billing_record.kept() == [self.job.key]
