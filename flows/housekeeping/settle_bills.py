"""Settle bills after a job has ended: ask the cloud again until it reports the cost or a day has passed.

So no job waits for its bill. A cloud that reports the end of a machine minutes later, or was unavailable at that time,
corrects the receipt. A job that was given up gets a receipt for the machines that it had.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import StateType

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Machine
from spotwave.flows.loop.run_lock import try_lock
from spotwave.node.contract import RESULT_BYTES, RESULT_FILE, write_text
from spotwave.node.untrusted.strict_json import load_file
from spotwave.tasks import api
from spotwave.tasks.cost import billing_record, ledger, receipt
from spotwave.tasks.cost.billing_record import BillingRecord, MachineBill, not_ended
from spotwave.tasks.load_blocks import NoSuchBlock, load_cloud, load_store
from spotwave.tasks.machine.reaper import ABANDONED
from spotwave.tasks.records import Bill
from spotwave.tasks.run_status import run_of

A_DAY = timedelta(days=1)  # costs that the cloud has not reported by then stay as Spotwave recorded them
FORGOTTEN = timedelta(days=2)  # a billing record that cannot be read, or whose bills cannot be written, is closed
UNSEEN = timedelta(minutes=10)  # the machine of an interrupted launch is listed by then, if it exists


def settle_bills(prefect: SyncPrefectClient) -> dict[str, str]:
    """Settle the billing record of every ended job that is still open; return what was done, by "receipt of <job key>".

    If no record is open, neither clouds nor stores are queried. Safe to repeat, and to interrupt at any point: the
    record is closed last.
    """
    done: dict[str, str] = {}
    for key in billing_record.kept():
        with try_lock(key) as free:
            action = _settle(prefect, key) if free else ""
        if action:
            done[f"receipt of {key}"] = action
    return done


def _settle(prefect: SyncPrefectClient, key: str) -> str:
    """Settle one job; return what was done, or an empty string if nothing was."""
    before = billing_record.read(key)
    if before is None:  # written by another version, or closed by its job since it was listed
        written = billing_record.kept_at(key)
        if written is not None and api.now() - written > FORGOTTEN:
            billing_record.close(key)
        return ""
    if (ended := _ended_at(prefect, before)) is None:
        return ""
    age = api.now() - ended
    late, unanswered = age > A_DAY, ""
    after = before
    for one in filter(lambda one: one.open, before.machines):
        try:
            after = after.having(_updated_bill(one, late))
        except (LaunchRefused, NoSuchBlock) as error:
            unanswered = f"not yet settled: {error}"
    try:
        for number, at in before.reserved.items():
            after = _resolve_reservation(after, number, at, late)
        if after == before and after.open:
            return unanswered
        changed = after.attempts != before.attempts or after.reserved != before.reserved
        known = changed or not after.open  # False if only a machine's end is known, and no cost yet
        if known:
            _write(prefect, before, after)
        if after.open:
            billing_record.keep(after)
            return "corrected in part" if known else unanswered
    except (LaunchRefused, NoSuchBlock, OSError) as error:  # StoreUnavailable is an OSError
        if age < FORGOTTEN:
            return f"not yet settled: {error}"
    billing_record.close(key)
    return "settled" + (" without the cloud's figures: none came within a day" if late else "")


def _ended_at(prefect: SyncPrefectClient, kept: BillingRecord) -> datetime | None:
    """Return since when the job no longer writes its record; None if it is active or `reconcile` may restart it."""
    if (written := billing_record.kept_at(kept.job.key)) is None:
        return None
    run = run_of(prefect, kept.job.flow_run_id)
    if run is None:
        return written  # deleted by a user
    state = run.state
    if state is None or not state.is_final():
        return None
    if state.type is StateType.CRASHED and api.now() - state.timestamp < ABANDONED:
        return None
    return max(written, state.timestamp)


def _updated_bill(one: MachineBill, late: bool) -> MachineBill:
    """Return the bill with what the cloud reports now. late: last attempt. Raises LaunchRefused, NoSuchBlock."""
    attempt, gone = one.attempt, one.gone
    machine, sent_bytes = attempt.machine, attempt.outcome.sent_bytes
    try:
        block = load_cloud(one.cloud)
        if gone is None:
            if not late and any(found.id == machine.id for found in block.find(machine.job_key)):
                return one  # still billed; the reaper removes it
            gone = api.now()
        bill, refused = receipt.bill_from_cloud(block, machine, gone, sent_bytes)
    except (LaunchRefused, NoSuchBlock):
        if not late:
            raise
        bill, refused = attempt.bill or _worst_case_bill(machine, sent_bytes), None
    if refused is not None and not late:
        return one.model_copy(update={"gone": gone})
    paid = bill.model_copy(update={"unsettled": False}) if late else bill
    over = attempt.model_copy(update={"bill": paid, "ended_at": paid.ended_at})
    return one.model_copy(update={"attempt": over, "gone": gone})


def _worst_case_bill(machine: Machine, sent_bytes: int) -> Bill:
    """Return the highest possible bill of a machine whose end is unknown: it stops itself at its deadline."""
    end = api.now()
    if machine.deadline is not None:
        end = min(end, datetime.fromtimestamp(machine.deadline, UTC))
    held = [(machine.launched_at, machine.offer.spot_usd_h)]
    return receipt.billed(machine, 0.0, end, held, sent_bytes, assumed=True)


def _resolve_reservation(kept: BillingRecord, number: int, at: float, late: bool) -> BillingRecord:
    """Find the machine of a reservation (at: Unix seconds) by its tag; without a machine, drop the reservation.

    late: last attempt; if a cloud does not answer, the reservation stays. Raises LaunchRefused, NoSuchBlock.
    """
    for cloud in kept.job.clouds:
        for machine in load_cloud(cloud).find(kept.job.key):
            if machine.attempt == number:
                return kept.having(MachineBill(attempt=not_ended(machine), cloud=cloud, reserved_at=at))
    return kept.without(number) if late or api.now().timestamp() - at > UNSEEN.total_seconds() else kept


def _write(prefect: SyncPrefectClient, before: BillingRecord, after: BillingRecord) -> None:
    """Update the ledger, the receipt, the result and the page of the job's run.

    The files on the remote stay as they were when the job ended. Raises NoSuchBlock, StoreUnavailable, OSError.
    """
    job, quote, attempts = after.job, after.quote, after.attempts
    store = load_store(job.store)
    for one in after.machines:
        if (paid := one.attempt.bill) is not None:
            ledger.write(store, ledger.ended(job, one.attempt.machine, paid, one.reserved_at, quote))
    for number in before.reserved.keys() - after.reserved.keys():
        if all(one.attempt.number != number for one in after.machines):
            ledger.write(store, ledger.withdrawn(job, number, before.reserved[number], quote))
    if not attempts:
        return
    cost = receipt.keep(job, attempts, quote, after.before_usd)
    _into_result(job.results / Path(RESULT_FILE).name, after)
    prefect.create_artifact(
        ArtifactCreate(
            key=receipt.KEY,
            type="markdown",
            description=receipt.DESCRIPTION,
            data=receipt.as_markdown(attempts, quote, cost),
            flow_run_id=job.flow_run_id,
        )
    )


def _into_result(path: Path, kept: BillingRecord) -> None:
    """Update the cost in result.json, if the job has one. Raises OSError."""
    try:
        result = load_file(path, RESULT_BYTES)
    except (FileNotFoundError, ValueError):
        return
    result |= {
        "attempts": [receipt.attempt_to_dict(one) for one in kept.attempts],
        "cost": receipt.cost_of(kept.attempts, kept.quote),
    }
    write_text(path, json.dumps(result, indent=1) + "\n")
