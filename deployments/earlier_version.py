"""Jobs that a version from before the move into one package has started: their kept steps name modules that are gone.

Prefect pickles what a step returns, and a pickle names modules (`blocks.cloud`, now `spotwave.blocks.models`): such a
job can be finished by the version that began it, and by no other.
"""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.client.schemas.responses import DeploymentResponse

from spotwave.deployments.unavailable import Unavailable

_PACKAGE = "spotwave."
_UNFINISHED = [state for state in StateType if state not in TERMINAL_STATES]
_SHOWN = 3


def refuse_unfinished(client: SyncPrefectClient) -> None:
    """Raises Unavailable while a job of an earlier version has not ended; its housekeeping does not count."""
    old = [one for one in _earlier(client) if "housekeeping" not in one.tags and "market" not in one.tags]
    if not old:
        return
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[one.id for one in old]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)),
        ),
        limit=200,
    )
    if runs:
        names = ", ".join(run.name for run in runs[:_SHOWN]) + (", ..." if len(runs) > _SHOWN else "")
        raise Unavailable(
            f"{len(runs)} runs of an earlier version of Spotwave have not ended ({names}), and this version cannot "
            "carry them on. Let them end or cancel them with that version, then run `spotwave up` again."
        )


def remove_deployments(client: SyncPrefectClient) -> None:
    """Delete the deployments whose code is gone; those of the same name have been replaced already."""
    for one in _earlier(client):
        client.delete_deployment(one.id)


def _earlier(client: SyncPrefectClient) -> list[DeploymentResponse]:
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["spotwave"]))
    found = client.read_deployments(deployment_filter=ours)
    return [one for one in found if one.entrypoint is not None and not one.entrypoint.startswith(_PACKAGE)]
