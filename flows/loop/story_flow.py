"""Build a Prefect flow from a story, and run it: check, find a machine, compute, download the results, show them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from spotwave.blocks.home import ENV_RESULTS, ENV_RESULTS_HOST, environment_of, results_folder
from spotwave.blocks.models import Requirements
from spotwave.blocks.validation import first_problem
from spotwave.flows.loop.errors import JobFailed
from spotwave.flows.loop.parameter_docs import described
from spotwave.flows.loop.run_end import respects_outside_state
from spotwave.flows.loop.run_job import Hooks, run_job
from spotwave.flows.loop.run_options import RunOptions
from spotwave.flows.loop.story import InvalidResult, Needs, Story, fitting
from spotwave.node.contract import RunResult, job_key_of
from spotwave.node.input_error import InputError
from spotwave.tasks.check import check_job
from spotwave.tasks.market.learned import remember_run, work_key
from spotwave.tasks.records import Job
from spotwave.tasks.results.collect import NoResult, collect, show_result
from spotwave.tasks.results.fetch import NoRoom

AnyStory = Story[Any]


def story_flow(story: type[AnyStory]) -> Flow[..., Any]:
    """Return the flow of a story. Its parameters are the fields of the story's input and the run options that it leaves
    to the user, with their descriptions and defaults."""
    own = dict(story.Input.model_fields)
    shared = {name: RunOptions.model_fields[name] for name in story.options}
    if both := own.keys() & shared.keys():
        raise TypeError(f"story {story.name}: {', '.join(sorted(both))} are reserved for run options")

    signature = inspect.Signature(
        [_parameter(name, field) for name, field in (own | shared).items()],
        return_annotation=dict[str, Any] | State[Any],
    )

    def run(*arguments: Any, **named: Any) -> dict[str, Any] | State[Any]:
        parameters = signature.bind(*arguments, **named).arguments  # Prefect passes them by position
        given = {name: value for name, value in parameters.items() if name in own}
        return run_story(story(), given, {name: value for name, value in parameters.items() if name in shared})

    run.__name__ = run.__qualname__ = story.name.replace("-", "_")
    run.__module__ = story.__module__
    run.__doc__ = story.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    made = flow(name=story.name, log_prints=False)(described(respects_outside_state(run)))
    made.story = story  # type: ignore[attr-defined]
    return made


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    about = Field(description=field.description)
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=field.get_default(call_default_factory=True, validated_data={}),
        annotation=Annotated[field.annotation, about],
    )


def run_story(story: AnyStory, given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any] | State[Any]:
    """Run the job inside the story's flow; return the result, or a Failed state with one line for the user."""
    try:
        validated = _validated(story.Input, given)
        options = _validated(RunOptions, chosen)
        needs = story.check(validated)
        job = story.job(validated, _job(story, needs, options))
        if (problem := check_job(job, list(needs.executables))) is not None:
            return _failed(problem)
        done = run_job(job, _hooks(story, job))
        story.on_machines_gone(job)
        result = collect(job, done.attempts, done.quote)
        rows = story.summary(result)
        facts = _facts(result)
    except (InputError, InvalidResult, JobFailed, NoResult, NoRoom) as error:
        return _failed(str(error))
    if facts.wall_seconds:
        remember_run(job, done.attempts, facts.seconds)
    problem = story.conclude(job, done, result)
    show_result(result, list(rows))
    return result if problem is None else _failed(problem)


def _facts(result: Mapping[str, Any]) -> RunResult:
    """Parse the fields that all results share. Raises InvalidResult."""
    try:
        return RunResult.from_dict(result)
    except ValueError as error:
        raise InvalidResult(
            f"result.json: {error}. The machine reported success: look at its log in the same folder"
        ) from None


def _hooks(story: AnyStory, job: Job) -> Hooks:
    return Hooks(
        on_attempt_started=partial(story.on_attempt_started, job),
        remembers_losses=story.remembers_losses,
        same_work=story.same_work,
    )


def _validated(model: type[BaseModel], values: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise JobFailed(first_problem(error)) from None


def _job(story: AnyStory, needs: Needs, options: RunOptions) -> Job:
    key = job_key_of(UUID(flow_run.id))
    node = f"{story.name}-node/machine"
    return Job(
        key=key,
        flow_run_id=UUID(flow_run.id),
        node=node,
        parameters=dict(needs.parameters),
        work=work_key(node, needs.parameters if needs.work is None else needs.work),
        requirements=_requirements(needs, options),
        clouds=options.clouds,
        remote=options.remote,
        access=options.access,
        store=options.store,
        objective=options.objective,
        work_core_h=options.work_core_h,
        results_gib=needs.results_gib,
        builds=needs.builds,
        sync_s=60 * options.sync_minutes,
        silence_s=60 * options.silence_minutes,
        max_hours=options.max_hours,
        max_attempts=options.max_attempts,
        wait_hours=options.wait_hours,
        max_usd=options.max_usd,
        project=options.project,
        budget=options.budget,
        continue_job=options.continue_job,
        approved=options.approved,
        results=_results() / key,
    )


def _results() -> Path:
    """Return the folder of the results. The run's own job variables are read, since many runs share a process."""
    context = FlowRunContext.get()
    asked = environment_of(context.flow_run.job_variables if context and context.flow_run else None)
    own = {name: asked[name] for name in (ENV_RESULTS, ENV_RESULTS_HOST) if name in asked}
    try:
        return results_folder({**os.environ, **own})
    except ValueError as error:  # SPOTWAVE_RESULTS in the job variables is invalid
        raise JobFailed(str(error)) from None


def _requirements(needs: Needs, options: RunOptions) -> Requirements:
    wanted = fitting(options.requirements, needs)
    if len(wanted.architectures) < len(options.requirements.architectures):
        get_run_logger().info("%s runs on %s only", needs.architectures_because, ", ".join(wanted.architectures))
    return wanted


def _failed(reason: str) -> State[Any]:
    """Return a Failed state with this one-line message and no stack trace, since there is no programming error."""
    get_run_logger().error(reason)
    return Failed(message=reason)
