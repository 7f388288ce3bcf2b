"""Preemption rates of spot VMs by type and zone, from Compute Engine's own history."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from spotwave.blocks.concurrent import Unavailable, gather
from spotwave.blocks.gcp.clients import FAILURES, Clients, why
from spotwave.blocks.interruption import Rate, of_stops
from spotwave.blocks.models import Offer

AT_MOST = 10  #: offers, one call each: enough to re-rank the leading ones
_PATIENCE_S = 10.0  # time limit of one call including retries; short, since the result is optional
_DAYS = 7

Pool = tuple[str, str, str]


def read_interruptions(clients: Clients, offers: Sequence[Offer]) -> dict[Pool, Rate]:
    """Return the rate for each pool of the first `AT_MOST` offers with a zone; pools without an answer are left out."""
    pools = list(dict.fromkeys(offer.pool for offer in offers if offer.zone))[:AT_MOST]
    if not pools:
        return {}
    ask = partial(_rate, clients.advice, clients.project)
    answers, _ = gather({"|".join(pool): partial(ask, pool) for pool in pools}, AT_MOST)
    return {pool: answers[name] for pool in pools if (name := "|".join(pool)) in answers}


def _rate(client: Any, project: str, pool: Pool) -> Rate:
    """Return the mean of the last daily preemption rates (Compute Engine API, advice.capacityHistory): preempted VMs
    over all spot VMs that stopped running; the API does not report how long those had run.

    Raises Unavailable, also for a type or zone without a history.
    """
    from google.cloud import compute_v1 as sdk

    _, machine_type, zone = pool
    request = sdk.CapacityHistoryRequest(
        types=["PREEMPTION"],
        location_policy=sdk.CapacityHistoryRequestLocationPolicy(location=f"zones/{zone}"),
        instance_properties=sdk.CapacityHistoryRequestInstanceProperties(
            machine_type=machine_type,
            scheduling=sdk.CapacityHistoryRequestInstancePropertiesScheduling(provisioning_model="SPOT"),
        ),
    )
    try:
        answer = client.capacity_history(
            project=project,
            region=zone.rpartition("-")[0],
            capacity_history_request_resource=request,
            **Clients.call(_PATIENCE_S),
        )
    except FAILURES as error:
        raise Unavailable(why(error)) from error
    rates: list[float] = [day.preemption_rate for day in answer.preemption_history][-_DAYS:]
    if not rates or not all(0 <= rate <= 1 for rate in rates):
        raise Unavailable("no history")
    return of_stops(sum(rates) / len(rates), len(rates))
