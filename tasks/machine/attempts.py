"""What the attempts so far mean for the next one: whether there may be one, and which offers it avoids.

An attempt whose machine was stopped with its host (`spotwave down`, a reboot of this computer) is not a loss: it does
not count towards `max_attempts`, nor against the size of that machine.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from spotwave.blocks.cloud import Cloud
from spotwave.node.contract import Cause, Ending, Outcome
from spotwave.tasks.records import Attempt, Job

MOST_MACHINES = 100  #: of one job, including those that were stopped with their host


def another(job: Job, attempts: list[Attempt]) -> bool:
    """Whether the job may have another machine."""
    return sum(one.counts for one in attempts) < job.max_attempts and len(attempts) < MOST_MACHINES


def avoided(attempts: list[Attempt], has_market: Collection[str]) -> dict[str, str]:
    """Return the labels of the offers whose pool lost or refused a machine of this job, with the reason.

    has_market: kinds of cloud that have pools. A user's own computer that was busy or lost a machine is not avoided,
    nor is a pool whose machine was too small.
    """
    taken = [one for one in attempts if one.counts and one.outcome.cause not in (Cause.MEMORY, Cause.DISK)]
    lost = {one.machine.offer: f"lost in attempt {one.number}" for one in taken}
    refused = {refusal.offer: f"refused in attempt {one.number}" for one in attempts for refusal in one.refusals}
    return {offer.label: reason for offer, reason in [*lost.items(), *refused.items()] if offer.cloud in has_market}


def checked_outcome(outcome: Outcome, cloud: Cloud) -> Outcome:
    """Return a machine's outcome; "stopped with its host" is accepted from machines on this computer only."""
    if outcome.ending is Ending.HOST_DOWN and not cloud.is_local:
        return replace(outcome, ending=Ending.LOST)
    return outcome
