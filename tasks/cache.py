"""Cache policy of tasks with side effects: a restarted run does not execute them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.cache_policies import INPUTS, RUN_ID, CachePolicy
from prefect.context import TaskRunContext


@dataclass
class TaskName(CachePolicy):
    """The task's name as part of the key; otherwise two tasks of a run with equal inputs share one result."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return task_ctx.task.name


#: RUN_ID is the flow run's id, which a restart keeps. The task's source, part of Prefect's default policy, is left out:
#: editing a task must not make a running job execute it a second time.
ONCE = TaskName() + RUN_ID + INPUTS
