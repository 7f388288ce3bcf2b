"""All deployments: those of prefect.yaml, and those of the stories and their node runs."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from pydantic import BaseModel, ConfigDict, Field

from spotwave.flows.loop.stories import stories
from spotwave.node.contract import MACHINES_POOL

_FILE = "prefect.yaml"


class Pool(BaseModel):
    """The work pool of a deployment's runs, and its queue (None: the pool's default)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Schedule(BaseModel):
    """When runs start. `slug` is the schedule's key in the deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: str
    timezone: str | None = None  #: None: UTC
    slug: str


class Deployment(BaseModel):
    """One deployment, with the field names of prefect.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    tags: list[str]
    entrypoint: str  #: of the flow: a module and a name in it
    parameters: dict[str, Any] = Field(default_factory=dict)
    pull: list[Any] = Field(max_length=0)  #: no steps: the code is installed wherever it runs
    work_pool: Pool
    concurrency_limit: ConcurrencyLimitConfig | None = None
    schedules: list[Schedule] = Field(default_factory=list)


def all_deployments() -> list[Deployment]:
    """Return all deployments that `up` registers."""
    written = yaml.safe_load(files("spotwave.deployments").joinpath(_FILE).read_text())
    jobs = Pool(**written["definitions"]["jobs"])
    found = [Deployment(**one) for one in written["deployments"]]
    for entrypoint, story in stories().values():
        found += [
            Deployment(
                name=preset.name,
                description=preset.description,
                tags=["spotwave", *story.tags],
                entrypoint=entrypoint,
                parameters=dict(preset.parameters),
                pull=[],
                work_pool=jobs,
            )
            for preset in story.presets
        ]
        found.append(_node_run(story.name))
    return found


def _node_run(story: str) -> Deployment:
    kind = story.replace("-", "_")
    return Deployment(
        name="machine",
        description=f"The part of a `{story}` job that runs on the machine. The job starts it once per attempt, in "
        "the attempt's own work queue. Do not start it yourself.",
        tags=["spotwave", "node"],
        entrypoint=f"spotwave.node.jobs.{kind}.flow.{kind}_node",
        pull=[],
        # Otherwise, if the worker ends, the run fails at its next log line.
        work_pool=Pool(name=MACHINES_POOL, job_variables={"stream_output": False}),
    )
