"""What the attempts so far mean for the next one: whether there may be one, and which offers it avoids.

An attempt whose machine was stopped with its host (`spotwave down`, a reboot of this computer) is no loss: it uses up
none of `max_attempts`, and says nothing against the size of machine that it was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from spotwave.blocks.cloud import Cloud
from spotwave.node.contract import Cause, Ending, Outcome
from spotwave.tasks.records import Attempt, Job

MOST_MACHINES = 100  #: of one job, those that were stopped with their host included


def another(job: Job, attempts: list[Attempt]) -> bool:
    """Whether the job may have a further machine."""
    return sum(one.counts for one in attempts) < job.max_attempts and len(attempts) < MOST_MACHINES


def avoided(attempts: list[Attempt], has_market: Collection[str]) -> dict[str, str]:
    """Labels of the offers whose pool lost or refused a machine of this job, with the reason. rented: the kinds of
    cloud that have pools; a computer of one's own that was busy or lost a machine is no worse afterwards. Nor is a pool
    whose machine was too small."""
    taken = [one for one in attempts if one.counts and one.outcome.cause not in (Cause.MEMORY, Cause.DISK)]
    lost = {one.machine.offer: f"lost in attempt {one.number}" for one in taken}
    refused = {refusal.offer: f"refused in attempt {one.number}" for one in attempts for refusal in one.refusals}
    return {offer.label: reason for offer, reason in [*lost.items(), *refused.items()] if offer.cloud in has_market}


def believed(outcome: Outcome, cloud: Cloud) -> Outcome:
    """What a machine says of its end, where only this computer's can have been stopped with their host."""
    if outcome.ending is Ending.HOST_DOWN and not cloud.is_local:
        return replace(outcome, ending=Ending.LOST)
    return outcome
