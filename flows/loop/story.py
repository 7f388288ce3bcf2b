"""The interface of a story: a kind of job as its user sees it.

One file in `flows/` implements it; its node flow is in `node/jobs/<kind>/`. Everything else (machines, billing,
checkpoints, results) is the same for all.
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
Row = tuple[str, str]  #: a title and a value, for display


@dataclass(frozen=True)
class Needs:
    """What an input requires of the machine and its image, known before anything is launched."""

    parameters: Mapping[str, Any]  #: of the node flow, in addition to job_key and attempt; JSON
    work: Mapping[str, Any] | None = None
    """What determines the amount of computing: jobs with the same `work` take the same time and share measurements.
    JSON; None: the parameters."""
    memory_gib: float = 0.0  #: minimum
    memory_because: str = ""  #: reason for the minimum, for the message if the user allows less
    architectures: Sequence[Architecture] | None = None  #: those that its programs run on; None: all
    architectures_because: str = ""  #: e.g. "program pyci"
    executables: Sequence[str] = ()  #: programs that must be on the machine's image
    builds: bool = False  #: whether a program is built on the machine
    results_gib: float = 0.1  #: size of the results to download, for the expected cost


@dataclass(frozen=True)
class Preset:
    """A deployment of the story: a name under which users start it, with its own parameters."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Story(ABC, Generic[I]):
    """A kind of job. Its docstring is the documentation that the UI shows. One object serves one run.

    Methods raise InputError (field, value, remedy) or JobFailed for what the user can correct.
    """

    name: ClassVar[str]  #: name of the flow; its node flow is `<name>_node` in node/jobs/<name>/flow.py
    Input: type[I]  #: the parameters in the form, without the shared run options
    presets: ClassVar[Sequence[Preset]]
    tags: ClassVar[Sequence[str]] = ()
    options: ClassVar[Sequence[str]] = tuple(RunOptions.model_fields)  #: the run options that its user may set
    remembers_losses: ClassVar[bool] = True  #: whether a lost machine counts against its pool

    @abstractmethod
    def check(self, given: I) -> Needs:
        """Check everything that can be checked before money is spent; return what the input requires."""

    @abstractmethod
    def same_work(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a job with the node parameters `new` may continue from a checkpoint of `old`. An earlier version may
        have written `old`: fields that it did not have are filled with their defaults."""

    @abstractmethod
    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        """Return the most important rows of result.json. Raises InvalidResult if it has no valid result."""

    def job(self, given: I, job: Job) -> Job:
        """Return the job, changed if the story fixes options that other stories leave to the user."""
        return job

    def on_attempt_started(self, job: Job, attempt: RunningAttempt) -> None:
        """Called in each attempt, before its machine is watched; does nothing by default."""
        return None

    def on_machines_gone(self, job: Job) -> None:
        """Called when the work is done and no machine of the job is left; does nothing by default."""
        return None

    def conclude(self, job: Job, done: Done, result: Mapping[str, Any]) -> str | None:
        """Write the story's own artifacts, once the results are downloaded. A returned line makes the job Failed."""
        return None


class InvalidResult(ValueError):
    """result.json has no valid result; the message is one line for the user."""


def fitting(requirements: Requirements, needs: Needs) -> Requirements:
    """Return the user's requirements with the memory raised and the CPU architectures narrowed to what the input needs.

    Raises InputError if no machine can satisfy both.
    """
    least = round(needs.memory_gib, 2)
    if requirements.max_memory_gib is not None and requirements.max_memory_gib < least:
        raise InputError(
            "requirements.max_memory_gib",
            f"{requirements.max_memory_gib:g} GiB is too little: {needs.memory_because}",
            "Allow more memory, or make the calculation smaller",
        )
    names = [one for one in requirements.architectures if needs.architectures is None or one in needs.architectures]
    if not names:
        raise InputError(
            "requirements.architectures",
            f"{', '.join(requirements.architectures) or 'none'} is allowed, but {needs.architectures_because} runs on "
            f"{', '.join(needs.architectures or ())}",
            "Allow one of these, or choose another program",
        )
    return requirements.model_copy(
        update={"min_memory_gib": max(requirements.min_memory_gib, least), "architectures": names}
    )
