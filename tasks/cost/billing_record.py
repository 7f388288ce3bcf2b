"""The billing record of a job: its machines from launch to their final cost, in a file of the controller.

    <beside Prefect's storage>/accounts/sw-0123456789ab.json

The job's engine writes it while the job runs; afterwards `reconcile` settles open bills
(flows.housekeeping.settle_bills). The file is on the computer that has the results and the job's lock, so the check
for open bills needs no request. It contains no secrets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from pydantic import BaseModel, ConfigDict

from spotwave.blocks.models import Machine
from spotwave.node.contract import Ending, Outcome, write_text
from spotwave.node.untrusted.strict_json import load_file
from spotwave.tasks.records import Amount, Attempt, Job, Quote

ACCOUNT_BYTES = 64 << 20
BEFORE_ITS_END = Outcome(Ending.LOST, "the job was ended before its machine")


class MachineBill(BaseModel):
    """The bill of one machine of the job."""

    model_config = ConfigDict(frozen=True)

    attempt: Attempt  #: has no bill until its end is known
    cloud: str  #: its Cloud document
    reserved_at: Amount  #: Unix seconds of its reservation in the ledger of spending
    gone: datetime | None = None  #: when Spotwave found that it was gone

    @property
    def open(self) -> bool:
        return self.attempt.bill is None or self.attempt.bill.unsettled


class BillingRecord(BaseModel):
    """All that is needed to write a job's receipt again."""

    model_config = ConfigDict(frozen=True)

    job: Job
    quote: Quote | None = None
    before_usd: Amount = 0.0  #: spent on the job that it continues
    reserved: dict[int, Amount] = {}  #: attempts that may have had a machine: Unix seconds of their reservation
    machines: list[MachineBill] = []  #: in the order of their launch

    @property
    def open(self) -> bool:
        return bool(self.reserved) or any(one.open for one in self.machines)

    @property
    def attempts(self) -> list[Attempt]:
        """Return the attempts that are over."""
        return [one.attempt for one in self.machines if one.attempt.bill is not None]

    def reserving(self, attempt: int, at: float) -> BillingRecord:
        """Return the record with a reservation for an attempt that may get a machine."""
        if any(one.attempt.number == attempt for one in self.machines):
            return self  # a restarted run gets here again
        return self.model_copy(update={"reserved": {**self.reserved, attempt: at}})

    def without(self, attempt: int) -> BillingRecord:
        """Return the record without the reservation of an attempt that got no machine."""
        return self.model_copy(update={"reserved": _except(self.reserved, attempt)})

    def having(self, went: MachineBill) -> BillingRecord:
        """Return the record with the newest bill of that machine."""
        same = [one.attempt.machine.id == went.attempt.machine.id for one in self.machines]
        if any(same):
            machines = [went if its else one for one, its in zip(self.machines, same, strict=True)]
        else:
            machines = [*self.machines, went]
        return self.model_copy(update={"machines": machines, "reserved": _except(self.reserved, went.attempt.number)})


def not_ended(machine: Machine) -> Attempt:
    """Return the attempt of a machine whose end is unknown."""
    return Attempt(
        number=machine.attempt,
        machine=machine,
        node_run_id=None,
        refusals=[],
        why="",
        outcome=BEFORE_ITS_END,
        ended_at=machine.launched_at,
    )


def keep(account: BillingRecord) -> None:
    """Write the record. Raises OSError."""
    write_text(_path(account.job.key), account.model_dump_json())


def read(key: str) -> BillingRecord | None:
    """Return the record; None if there is none, or none that this version can read."""
    try:
        return BillingRecord.model_validate(load_file(_path(key), ACCOUNT_BYTES))
    except (FileNotFoundError, ValueError):  # includes pydantic's ValidationError
        return None


def kept_at(key: str) -> datetime | None:
    """Return when the record was last written; None if there is none."""
    try:
        return datetime.fromtimestamp(_path(key).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def close(key: str) -> None:
    """Delete the record of a job whose bills are final. Safe to repeat."""
    _path(key).unlink(missing_ok=True)


def kept() -> list[str]:
    """Return the keys of the jobs that have a record."""
    return sorted(path.stem for path in _folder().glob("*.json") if not path.name.startswith("."))


def _except(reserved: dict[int, float], attempt: int) -> dict[int, float]:
    return {number: at for number, at in reserved.items() if number != attempt}


def _path(key: str) -> Path:
    return _folder() / f"{key}.json"


def _folder() -> Path:
    return Path(PREFECT_LOCAL_STORAGE_PATH.value()).parent / "accounts"
