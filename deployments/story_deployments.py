"""All deployments: those of prefect.yaml, and those of the stories and their node runs."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from spotwave.flows.loop.stories import stories
from spotwave.node.contract import MACHINES_POOL

_FILE = "prefect.yaml"


def prefect_file() -> str:
    """Return all deployments as YAML, for `prefect deploy --all --prefect-file`."""
    written: dict[str, Any] = yaml.safe_load(files("spotwave.deployments").joinpath(_FILE).read_text())
    jobs = written.pop("definitions")["jobs"]
    for entrypoint, story in stories().values():
        written["deployments"] += [
            {
                "name": preset.name,
                "description": preset.description,
                "tags": ["spotwave", *story.tags],
                "entrypoint": entrypoint,
                "parameters": dict(preset.parameters),
                "pull": [],
                "work_pool": jobs,
            }
            for preset in story.presets
        ]
        written["deployments"].append(_node_run(story.name))
    return yaml.safe_dump(written, sort_keys=False)


def _node_run(story: str) -> dict[str, Any]:
    kind = story.replace("-", "_")
    return {
        "name": "machine",
        "description": f"The part of a `{story}` job that runs on the machine. The job starts it once per attempt, in "
        "the attempt's own work queue. Do not start it yourself.",
        "tags": ["spotwave", "node"],
        "entrypoint": f"spotwave.node.jobs.{kind}.flow.{kind}_node",
        "pull": [],
        # Otherwise, if the worker ends, the run fails at its next log line.
        "work_pool": {"name": MACHINES_POOL, "job_variables": {"stream_output": False}},
    }
