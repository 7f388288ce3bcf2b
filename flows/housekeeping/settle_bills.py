"""The story of a bill that was not settled: asked again after the job, until the cloud has told or a day has passed.

So nothing waits for it: a cloud that tells of an end minutes later, or was away just then, corrects the receipt; and a
job that was given up gets one for the machines that it had.
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

A_DAY = timedelta(days=1)  # what no cloud has told by then stays as we saw it
FORGOTTEN = timedelta(days=2)  # an account that cannot be read, or what it says not be written, is closed as it is
UNSEEN = timedelta(minutes=10)  # a launch that was cut short has shown itself by then, if it had a machine


def settle_bills(prefect: SyncPrefectClient) -> dict[str, str]:
    """What was done, by "receipt of <job key>", for every job that has ended and whose account is open.

    Where nothing is open it asks neither a cloud nor a store. Safe to repeat, and to be killed at any line: the
    account is closed last.
    """
    done: dict[str, str] = {}
    for key in billing_record.kept():
        with try_lock(key) as free:
            said = _settle(prefect, key) if free else ""
        if said:
            done[f"receipt of {key}"] = said
    return done


def _settle(prefect: SyncPrefectClient, key: str) -> str:
    """What was done, empty if nothing."""
    before = billing_record.read(key)
    if before is None:  # of another version, or closed by its job since it was listed
        written = billing_record.kept_at(key)
        if written is not None and api.now() - written > FORGOTTEN:
            billing_record.close(key)
        return ""
    if (ended := _ended_at(prefect, before)) is None:
        return ""
    age = api.now() - ended
    late, silent = age > A_DAY, ""
    after = before
    for one in filter(lambda one: one.open, before.machines):
        try:
            after = after.having(_asked_again(one, late))
        except (LaunchRefused, NoSuchBlock) as error:
            silent = f"not yet settled: {error}"
    try:
        for number, at in before.reserved.items():
            after = _looked_for(after, number, at, late)
        if after == before and after.open:
            return silent
        changed = after.attempts != before.attempts or after.reserved != before.reserved
        known = changed or not after.open  # more than that a machine is gone, of which the cloud tells nothing yet
        if known:
            _write(prefect, before, after)
        if after.open:
            billing_record.keep(after)
            return "corrected in part" if known else silent
    except (LaunchRefused, NoSuchBlock, OSError) as error:  # StoreUnavailable is an OSError
        if age < FORGOTTEN:
            return f"not yet settled: {error}"
    billing_record.close(key)
    return "settled" + (", as seen: no cloud has told in a day" if late else "")


def _ended_at(prefect: SyncPrefectClient, kept: BillingRecord) -> datetime | None:
    """Since when nobody but us writes the account; None if the job goes on, as after a crash by `reconcile`."""
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


def _asked_again(one: MachineBill, late: bool) -> MachineBill:
    """With what is known by now. late: this is the last time. Raises LaunchRefused, NoSuchBlock."""
    attempt, gone = one.attempt, one.gone
    machine, sent_bytes = attempt.machine, attempt.outcome.sent_bytes
    try:
        block = load_cloud(one.cloud)
        if gone is None:
            if not late and any(found.id == machine.id for found in block.find(machine.job_key)):
                return one  # it bills on, and is the reaper's
            gone = api.now()
        bill, refused = receipt.asked(block, machine, gone, sent_bytes)
    except (LaunchRefused, NoSuchBlock):
        if not late:
            raise
        bill, refused = attempt.bill or _at_most(machine, sent_bytes), None
    if refused is not None and not late:
        return one.model_copy(update={"gone": gone})
    paid = bill.model_copy(update={"unsettled": False}) if late else bill
    over = attempt.model_copy(update={"bill": paid, "ended_at": paid.ended_at})
    return one.model_copy(update={"attempt": over, "gone": gone})


def _at_most(machine: Machine, sent_bytes: int) -> Bill:
    """Of a machine whose end nobody saw and whose cloud does not answer: it ends itself at its deadline."""
    end = api.now()
    if machine.deadline is not None:
        end = min(end, datetime.fromtimestamp(machine.deadline, UTC))
    held = [(machine.launched_at, machine.offer.spot_usd_h)]
    return receipt.billed(machine, 0.0, end, held, sent_bytes, assumed=True)


def _looked_for(kept: BillingRecord, number: int, at: float, late: bool) -> BillingRecord:
    """A machine of which only the reservation (at: Unix seconds) is known: found by its tag, or else there was none.

    late: this is the last time; a cloud that does not answer leaves the reservation standing. Raises LaunchRefused,
    NoSuchBlock.
    """
    for cloud in kept.job.clouds:
        for machine in load_cloud(cloud).find(kept.job.key):
            if machine.attempt == number:
                return kept.having(MachineBill(attempt=not_ended(machine), cloud=cloud, reserved_at=at))
    return kept.without(number) if late or api.now().timestamp() - at > UNSEEN.total_seconds() else kept


def _write(prefect: SyncPrefectClient, before: BillingRecord, after: BillingRecord) -> None:
    """Ledger, receipt, result and the page of the job's run, each in the place of what it said before.

    What is on the remote stays as it was when the job ended. Raises NoSuchBlock, StoreUnavailable, OSError.
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
    """The cost in result.json, where the job has come to one. Raises OSError."""
    try:
        result = load_file(path, RESULT_BYTES)
    except (FileNotFoundError, ValueError):
        return
    result |= {
        "attempts": [receipt.as_told(one) for one in kept.attempts],
        "cost": receipt.cost_of(kept.attempts, kept.quote),
    }
    write_text(path, json.dumps(result, indent=1) + "\n")
