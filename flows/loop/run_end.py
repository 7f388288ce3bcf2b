"""How a flow ends in Prefect: with its own state, unless its run was ended from outside.

Prefect accepts the final state that an engine reports last: it would replace a Cancelled that a user has set with
Completed (prefect/server/orchestration/core_policy.py, HandleFlowTerminalStateTransitions).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect.exceptions import Abort, Pause, PrefectHTTPStatusError, TerminationSignal
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled

from spotwave.flows.loop.run_lock import RunLocked
from spotwave.flows.loop.suspension import keep_suspended
from spotwave.tasks import api
from spotwave.tasks.run_status import Ended, RunStatus, Superseded, how, run_of, status_of

F = TypeVar("F", bound=Callable[..., Any])


def respects_outside_state(story: F) -> F:
    """Wrap a flow function so that its engine does not overwrite a state that was set from outside.

    If the run was ended from outside or belongs to another engine, the engine ends without reporting a state
    (prefect.exceptions.Abort). If it is stopped while the run is suspended, the run stays suspended.
    """

    @functools.wraps(story)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            end = story(*arguments, **named)
        except (Superseded, RunLocked) as other:
            raise Abort(str(other)) from other
        except Ended as over:
            get_run_logger().warning("%s: the job ends here, and its machine is gone", over)
            _leave(cancelling=True)
            raise Abort(str(over)) from over
        except TerminationSignal:  # Prefect also cancels by this signal
            _leave(suspended=True)
            raise
        except Exception:  # re-raised, unless the run has been ended from outside meanwhile
            _leave(cancelling=True)
            raise
        _leave(cancelling=True)
        return end

    # Prefect would resolve the names in annotations in this module, not in the story's.
    wrapped.__signature__ = inspect.signature(story, eval_str=True)  # type: ignore[attr-defined]
    return cast(F, wrapped)


def _leave(cancelling: bool = False, suspended: bool = False) -> None:
    """Raise Abort or Pause if the run's state must not be changed.

    cancelling: also if the run is being cancelled and no signal will end it. suspended: also if the run is suspended.
    """
    prefect, run_id = api.client(), UUID(flow_run.id)
    try:
        run = run_of(prefect, run_id)
        match status_of(run):
            case RunStatus.ENDED:
                get_run_logger().warning("the run %s; its state is left as it is", how(run))
                raise Abort(f"the run {how(run)}")
            case RunStatus.CANCELLING if cancelling:
                prefect.set_flow_run_state(run_id, Cancelled(message="the job was cancelled"), force=True)
                raise Abort("the run was cancelled")
            case RunStatus.SUSPENDED if suspended:
                raise Pause(state=keep_suspended(prefect, run_id))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        get_run_logger().warning("the run's state could not be read: %s", error)
