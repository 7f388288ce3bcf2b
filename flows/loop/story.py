"""What a story is: a kind of job as its user sees it. One file in `flows/` implements it; its node run is in
`node/jobs/<kind>/`. Everything else (machines, money, checkpoints, results) is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from spotwave.blocks.models import Architecture, Requirements
from spotwave.flows.loop.run_job import Done, RunningAttempt
from spotwave.flows.loop.run_options import RunOptions
from spotwave.node.input_error import InputError
from spotwave.tasks.records import Job

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the story's input
Row = tuple[str, str]  #: a title and a value, both for people


@dataclass(frozen=True)
class Needs:
    """What an input asks of the machine and of its image, known before anything is launched."""

    parameters: Mapping[str, Any]  #: of the node flow, beside job_key and attempt; JSON
    work: Mapping[str, Any] | None = None
    """What decides how much computing it is: jobs that agree in it take the same time, and learn from each other. JSON;
    None: the parameters."""
    memory_gib: float = 0.0  #: at least
    memory_because: str = ""  #: why so much, for the message where the user allows less
    architectures: Sequence[Architecture] | None = None  #: that its programs run on; None: all
    architectures_because: str = ""  #: e.g. "program pyci"
    executables: Sequence[str] = ()  #: programs that must be on the machine's image
    builds: bool = False  #: whether a program is built on the machine
    results_gib: float = 0.1  #: what comes home, for the expected cost


@dataclass(frozen=True)
class Preset:
    """A deployment of the story: a name under which users start it, with parameters of its own."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Story(ABC, Generic[I]):
    """A kind of job; its docstring is the documentation that the UI shows. One object serves one run.

    Methods raise InputError (field, value, remedy) or JobFailed for what the user can put right.
    """

    name: ClassVar[str]  #: of the flow; its node run is `<name>_node` in node/jobs/<name>/flow.py
    Input: type[I]  #: what the form asks; no clouds in it
    presets: ClassVar[Sequence[Preset]]
    tags: ClassVar[Sequence[str]] = ()
    options: ClassVar[Sequence[str]] = tuple(RunOptions.model_fields)  #: the run options that its user may choose
    remembers_losses: ClassVar[bool] = True  #: whether a lost machine says something of its pool

    @abstractmethod
    def check(self, given: I) -> Needs:
        """Everything that can be known to be wrong before money is spent."""

    @abstractmethod
    def same_work(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a job with the node parameters `new` may go on from a checkpoint of `old`, which an earlier version
        may have written: fields that it did not know have their defaults."""

    @abstractmethod
    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        """What people look for first, out of result.json. Raises InvalidResult where it holds no answer."""

    def job(self, given: I, job: Job) -> Job:
        """The job, changed where the story fixes what others leave to the user."""
        return job

    def on_attempt_started(self, job: Job, attempt: RunningAttempt) -> None:
        """In each attempt, before its machine is watched; nothing by default."""
        return None

    def on_machines_gone(self, job: Job) -> None:
        """When the work is done and no machine of the job is left; nothing by default."""
        return None

    def conclude(self, job: Job, done: Done, result: Mapping[str, Any]) -> str | None:
        """When the results are home: the story's own artifacts. A line: the job ends as Failed with it."""
        return None


class InvalidResult(ValueError):
    """result.json holds no answer; the message is one line for the user."""


def fitting(requirements: Requirements, needs: Needs) -> Requirements:
    """The user's requirements, raised to the memory and narrowed to the CPUs that the input needs. Raises InputError
    where they leave nothing."""
    least = round(needs.memory_gib, 2)
    if requirements.max_memory_gib is not None and requirements.max_memory_gib < least:
        raise InputError(
            "requirements.max_memory_gib",
            f"{requirements.max_memory_gib:g} GiB are too little: {needs.memory_because}",
            "Allow more memory, or make the calculation smaller",
        )
    names = [one for one in requirements.architectures if needs.architectures is None or one in needs.architectures]
    if not names:
        raise InputError(
            "requirements.architectures",
            f"{', '.join(requirements.architectures) or 'none'} is allowed, and {needs.architectures_because} runs on "
            f"{', '.join(needs.architectures or ())}",
            "Allow that, or choose another program",
        )
    return requirements.model_copy(
        update={"min_memory_gib": max(requirements.min_memory_gib, least), "architectures": names}
    )
