"""The rounds of an attempt, as the job's run remembers them: a restarted controller waits on where the last one did.

A round is a look at the market and a walk. What is kept stands in a label of the flow run, since a step that is kept
(tasks.cache) cannot tell how far its predecessors came.
"""

from __future__ import annotations

import json
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Running
from pydantic import BaseModel, ConfigDict, ValidationError

LABEL = "spotwave.round"  # and the attempt's number
WAITING = "Waiting"  #: the name of the state, whose type is RUNNING


class Round(BaseModel):
    """A round, and what the waiting before it was."""

    model_config = ConfigDict(frozen=True)

    number: int = 1
    pauses: int = 0  #: since the job waits
    since: float = 0.0  #: it waits; Unix seconds
    until: float = 0.0  #: this round begins; Unix seconds
    walked: bool = False  #: whether clouds were asked for a machine before it, and so may keep something of the job
    unsure: bool = False  #: whether one of them may have made one all the same
    shown: str = ""  #: the state's message meanwhile
    held_at: float | None = None  #: the job was suspended before this round; Unix seconds


def read_round(api: SyncPrefectClient, flow_run_id: UUID, attempt: int) -> Round:
    """The newest round of that attempt; the first where nothing is kept."""
    kept = (api.read_flow_run(flow_run_id).labels or {}).get(f"{LABEL}.{attempt}")
    try:
        return Round.model_validate(json.loads(str(kept))) if kept else Round()
    except (ValueError, ValidationError):  # anybody may write labels
        return Round()


def keep_round(api: SyncPrefectClient, flow_run_id: UUID, attempt: int, turn: Round) -> None:
    api.update_flow_run_labels(flow_run_id, {f"{LABEL}.{attempt}": turn.model_dump_json()})


def show_running(api: SyncPrefectClient, flow_run_id: UUID, name: str, message: str) -> bool:
    """Give a run that is running a state of that name; whether the server took it.

    It counts one more start of the run then (prefect/server/orchestration/global_policy.py, IncrementFlowRunCount),
    which the caller must not take for another engine's.
    """
    run = api.read_flow_run(flow_run_id)
    if run.state is None or not run.state.is_running():
        return False  # cancelled, or ended by somebody: that is the newer word
    wanted: State[None] = Running(name=name, message=message)
    result = api.set_flow_run_state(flow_run_id, wanted)
    # A repeated call whose first answer was lost is rejected, with the state that the first has set.
    again = result.state is not None and (result.state.name, result.state.message) == (name, message)
    return result.status is SetStateStatus.ACCEPT or again
