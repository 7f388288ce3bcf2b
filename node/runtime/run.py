"""Run of a job on the machine, for all kinds of jobs: resume from the checkpoint, work, write result and outcome.

A kind of job is a function that takes the workspace and its own parameters and returns its result:

    @node_job("toy-node", errors=(InputError,))
    def toy_node(workspace: Workspace, text: str) -> dict[str, Any]: ...

The decorator makes it a Prefect flow with the parameters job_key, attempt and the function's own.
"""

from __future__ import annotations

import functools
import inspect
import json
import platform
from collections.abc import Callable
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger

from spotwave.node.contract import RESULT_FILE, Ending, RunResult, write_text
from spotwave.node.runtime.errors import StopAsked
from spotwave.node.runtime.interruption import Kinds, cut_short
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage.checkpoint import CheckpointCorrupt
from spotwave.node.untrusted.own_files import clear_way

Work = Callable[..., dict[str, Any]]


def node_job(name: str, *, errors: Kinds = ()) -> Callable[[Work], Flow[..., Any]]:
    """Return a decorator that makes a Prefect flow of a job's function.

    name: of the flow. errors: exceptions of the calculation itself, which would occur on any machine; each message is
    one line for the user. The function is called with the workspace and its parameters by name. Between long steps it
    calls `workspace.go_on()`. It returns the content of result.json, which includes the fields of `RunResult`.
    """

    def decorate(work: Work) -> Flow[..., Any]:
        given = list(inspect.signature(work, eval_str=True).parameters.values())[1:]

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        common = [
            inspect.Parameter("job_key", kind, annotation=str),
            inspect.Parameter("attempt", kind, annotation=int),
        ]
        signature = inspect.Signature([*common, *given])

        @functools.wraps(work)
        def node_run(*arguments: Any, **named: Any) -> State[Any] | dict[str, Any]:
            parameters = signature.bind(*arguments, **named).arguments  # Prefect passes them by position
            return _run_attempt(work, parameters.pop("job_key"), parameters.pop("attempt"), parameters, errors)

        node_run.__signature__ = signature  # type: ignore[attr-defined]
        return flow(name=name, log_prints=False)(node_run)

    return decorate


def _run_attempt(
    work: Work, job_key: str, attempt: int, parameters: dict[str, Any], errors: Kinds
) -> State[Any] | dict[str, Any]:
    """Run one attempt on the machine that was launched for it.

    Ends as Crashed("Interrupted") with a checkpoint if the agent requests a stop, and as Failed with one line if the
    calculation itself is at fault (node.runtime.interruption).
    """
    workspace, log = Workspace(), get_run_logger()
    log.info("attempt %d of %s on %s, %d threads", attempt, job_key, platform.node(), workspace.brief.vcpus)
    try:
        workspace.go_on()
        result = work(workspace, **parameters)
        facts = RunResult.from_dict(result)
        clear_way(workspace.work / RESULT_FILE)  # a program may have created a file or folder of that name
        write_text(workspace.work / RESULT_FILE, json.dumps(result, indent=1) + "\n")
    except (TerminationSignal, Exception) as error:
        state = cut_short(workspace, error, (TerminationSignal, StopAsked), (*errors, CheckpointCorrupt))
        if state is None:
            raise
        return state
    workspace.tell("done", 100, facts.answer)
    workspace.end(Ending.COMPLETED, facts.answer)
    return result
