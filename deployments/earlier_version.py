"""Jobs of a version from before the move into one package: this version cannot resume them.

Prefect pickles the results of steps, and a pickle contains module names (`blocks.cloud`, now `spotwave.blocks.models`).
Only the version that started such a job can finish it.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from spotwave.deployments.deployed import our_deployments
from spotwave.deployments.unavailable import Unavailable
from spotwave.flows.housekeeping.reconcile import AGE

_PACKAGE = "spotwave."
_NOT_JOBS = {"housekeeping", "market", "node"}  # tags; a node run is part of a job, which is counted already
UNFINISHED = [state for state in StateType if state not in TERMINAL_STATES]
_SHOWN = 3
# The name and the state of each run, with the tags of its deployment as a JSON list.
_IN_SQLITE = """
SELECT flow_run.name, flow_run.state_type, deployment.tags
FROM flow_run JOIN deployment ON flow_run.deployment_id = deployment.id
WHERE deployment.entrypoint NOT LIKE 'spotwave.%' AND deployment.tags LIKE '%"spotwave"%'
"""


def refuse_unfinished(client: SyncPrefectClient) -> None:
    """Raise Unavailable if a job of an earlier version has not ended; its housekeeping runs do not count.

    A job that crashed recently has not ended: its own version restarts it (flows.housekeeping.reconcile).
    """
    old = [one for one in _earlier(client) if not _NOT_JOBS & set(one.tags)]
    if not old:
        return
    since = datetime.now(UTC) - AGE
    runs = [*_runs(client, old, UNFINISHED), *_runs(client, old, [StateType.CRASHED], since)]
    if runs:
        raise Unavailable(_refusal([run.name for run in runs]))


def refuse_unfinished_in(database: Path) -> None:
    """Do the same for the SQLite file of a Prefect server that does not run.

    A file that cannot be read is ignored, because `refuse_unfinished` checks again later. Raises Unavailable.
    """
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            names = [
                str(name)
                for name, state, tags in connection.execute(_IN_SQLITE)
                if state in set(UNFINISHED) and not _NOT_JOBS & set(json.loads(tags))
            ]
    except (sqlite3.Error, ValueError, TypeError):
        return
    if names:
        raise Unavailable(_refusal(names))


def _refusal(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    jobs = "1 job" if len(names) == 1 else f"{len(names)} jobs"
    return (
        f"{jobs} of an earlier version of Spotwave ({shown}) must end first, because this version cannot continue "
        "them. Wait for them or cancel them with that version, then run `spotwave up` again."
    )


def remove_deployments(client: SyncPrefectClient) -> None:
    """Delete the deployments whose code no longer exists; those with unchanged names are replaced already."""
    for one in _earlier(client):
        client.delete_deployment(one.id)


def _runs(
    client: SyncPrefectClient, old: list[DeploymentResponse], states: list[StateType], since: datetime | None = None
) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[one.id for one in old]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
            expected_start_time=None if since is None else FlowRunFilterExpectedStartTime(after_=since),
        ),
        limit=200,
    )


def _earlier(client: SyncPrefectClient) -> list[DeploymentResponse]:
    found = our_deployments(client)
    return [one for one in found if one.entrypoint is not None and not one.entrypoint.startswith(_PACKAGE)]
