"""The placement rounds of an attempt, stored with the job's run: a restarted controller continues to wait in the same.

A round fetches the market once and tries its offers. The state is stored in a label of the flow run, since persisted
task results (tasks.cache) cannot tell how far earlier starts of the run came.
"""

from __future__ import annotations

import json
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Running
from pydantic import BaseModel, ConfigDict, ValidationError

LABEL = "spotwave.round"  # followed by the attempt's number
WAITING = "Waiting"  #: the name of the state, whose type is RUNNING


class Round(BaseModel):
    """A round, and the waiting before it."""

    model_config = ConfigDict(frozen=True)

    number: int = 1
    pauses: int = 0  #: pauses since the job began to wait
    since: float = 0.0  #: start of the wait; Unix seconds
    until: float = 0.0  #: start of this round; Unix seconds
    walked: bool = False  #: whether launches were tried before it, so that clouds may hold resources of the job
    unsure: bool = False  #: whether one of these launches may have succeeded unnoticed
    shown: str = ""  #: the run's state message during the wait
    held_at: float | None = None  #: when the job was suspended before this round; Unix seconds


def read_round(api: SyncPrefectClient, flow_run_id: UUID, attempt: int) -> Round:
    """Return the newest round of that attempt; the first one if none is stored."""
    kept = (api.read_flow_run(flow_run_id).labels or {}).get(f"{LABEL}.{attempt}")
    try:
        return Round.model_validate(json.loads(str(kept))) if kept else Round()
    except (ValueError, ValidationError):  # labels can be edited by users
        return Round()


def keep_round(api: SyncPrefectClient, flow_run_id: UUID, attempt: int, turn: Round) -> None:
    api.update_flow_run_labels(flow_run_id, {f"{LABEL}.{attempt}": turn.model_dump_json()})


def show_running(api: SyncPrefectClient, flow_run_id: UUID, name: str, message: str) -> bool:
    """Give a running run a state of that name; return whether the server accepted it.

    The server then counts one more start of the run (prefect/server/orchestration/global_policy.py,
    IncrementFlowRunCount), which the caller must not take for another engine's.
    """
    run = api.read_flow_run(flow_run_id)
    if run.state is None or not run.state.is_running():
        return False  # cancelled or ended meanwhile: that state takes precedence
    wanted: State[None] = Running(name=name, message=message)
    result = api.set_flow_run_state(flow_run_id, wanted)
    # A repeated call whose first answer was lost is rejected, with the state that the first call has set.
    again = result.state is not None and (result.state.name, result.state.message) == (name, message)
    return result.status is SetStateStatus.ACCEPT or again
