"""How a story ends in Prefect: with its own state, unless somebody has given its run one from outside.

Prefect takes whatever final state an engine reports last: it would put Completed in the place of a Cancelled that was
set by hand (prefect/server/orchestration/core_policy.py, HandleFlowTerminalStateTransitions).
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
    """The engine of the story ends without a word (prefect.exceptions.Abort) where its run was ended from outside or
    is another engine's, and as suspended where it was stopped while it was."""

    @functools.wraps(story)
    def told(*arguments: Any, **named: Any) -> Any:
        try:
            end = story(*arguments, **named)
        except (Superseded, RunLocked) as other:
            raise Abort(str(other)) from other
        except Ended as over:
            get_run_logger().warning("%s: the job ends here, and its machine is gone", over)
            _leave(cancelling=True)
            raise Abort(str(over)) from over
        except TerminationSignal:  # by which Prefect cancels, too
            _leave(suspended=True)
            raise
        except Exception:  # whatever it is goes on up, unless the run has been ended from outside meanwhile
            _leave(cancelling=True)
            raise
        _leave(cancelling=True)
        return end

    # Prefect would look for what annotations name in this module, not in the story's.
    told.__signature__ = inspect.signature(story, eval_str=True)  # type: ignore[attr-defined]
    return cast(F, told)


def _leave(cancelling: bool = False, suspended: bool = False) -> None:
    """Raise Abort or Pause where the run's state is not ours to change.

    cancelling: there will be no signal that ends a run which is being cancelled. suspended: that must be heeded, too.
    """
    prefect, run_id = api.client(), UUID(flow_run.id)
    try:
        run = run_of(prefect, run_id)
        match status_of(run):
            case RunStatus.ENDED:
                get_run_logger().warning("its run %s: left so", how(run))
                raise Abort(f"its run {how(run)}")
            case RunStatus.CANCELLING if cancelling:
                prefect.set_flow_run_state(run_id, Cancelled(message="the job was cancelled"), force=True)
                raise Abort("its run was cancelled")
            case RunStatus.SUSPENDED if suspended:
                raise Pause(state=keep_suspended(prefect, run_id))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        get_run_logger().warning("how its run stands cannot be read: %s", error)
