"""The steps of a job at which a fault may occur: each is a call at which one of its processes is paused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Step:
    name: str
    call: str  #: 'module:function', in the process that is paused
    when: Literal["before", "after"]
    attempt: int  #: process: 0 the controller's run of the job, 1 the first machine


_STEPS = (
    Step("launch", "spotwave.tasks.machine.walk_offers:launch", "before", 0),
    Step("launched", "spotwave.tasks.machine.walk_offers:launch", "after", 0),  # billed, but not recorded yet
    Step("boot", "spotwave.node.storage.checkpoint:restore", "before", 1),
    Step("hartree_fock", "spotwave.node.jobs.shci.flow:run_hartree_fock", "before", 1),
    Step("choose_reference", "spotwave.node.jobs.shci.flow:find_solutions", "before", 1),
    Step("write_fcidump", "spotwave.node.jobs.shci.flow:write_integrals", "before", 1),
    Step(
        "run_shci", "spotwave.node.jobs.shci.programs.snapshot:Snapshot.write", "after", 1
    ),  # the first wave function is on disk
    Step("saving", "spotwave.node.agent.sync:Syncer.finish", "before", 1),
    Step("teardown", "spotwave.tasks.machine.terminate:load_cloud", "before", 0),  # fenced, not yet terminated
    Step("collect", "spotwave.tasks.results.collect:_read_result", "before", 0),
)
STEPS = {step.name: step for step in _STEPS}
