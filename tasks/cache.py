"""How every step with a side effect is kept: once done, a restarted run does not do it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.cache_policies import INPUTS, RUN_ID, CachePolicy
from prefect.context import TaskRunContext


@dataclass
class TaskName(CachePolicy):
    """The task's name as part of the key: without it, two steps of a run with equal inputs are taken for one."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return task_ctx.task.name


#: RUN_ID is the flow run's id, the same for a restart. The task's source is left out on purpose (Prefect's default
#: has it): editing a step must not make a running job take that step a second time.
ONCE = TaskName() + RUN_ID + INPUTS
