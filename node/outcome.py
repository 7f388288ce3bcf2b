"""Outcome of an attempt: how it ended, why, and which limit or shortage caused it. Part of node.contract.

Standard library only. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from spotwave.node.untrusted.plain_text import TEXT_CHARS
from spotwave.node.untrusted.strict_model import (
    MOST_BYTES,
    Rule,
    StrictModel,
    maybe,
    named,
    number,
    one_of,
    said,
    whole,
)

GENERATION = r"[0-9]{3}-[0-9]{5}"  # the form of a checkpoint's name


class Ending(StrEnum):
    """How an attempt ended, and how the job goes on."""

    COMPLETED = "completed"  #: the result is on the remote and can be collected
    FAILED = "failed"  #: the calculation or Spotwave's own code failed; another machine would fail too
    INTERRUPTED = "interrupted"  #: the cloud gave notice; the next attempt resumes from the checkpoint
    LOST = "lost"  #: the machine vanished, sent no heartbeat or failed (Cause); the next attempt resumes
    DEADLINE = "deadline"  #: the time limit is reached; the checkpoint is kept and the job does not continue
    FORGOTTEN = "forgotten"  #: no run was assigned to the machine; a new attempt follows
    SUSPENDED = "suspended"  #: a user suspended the job; the next attempt starts when it is resumed
    HOST_DOWN = "host down"  #: the machine's host computer shut down; a new attempt follows, not counted as a loss


class Cause(StrEnum):
    """Why a machine was lost that its cloud did not reclaim. None in an outcome means: the cloud, or unknown."""

    PROGRAM = "program"  #: a process of the work crashed; after two identical crashes a third is expected
    MEMORY = "memory"  #: out of memory; the next machine needs more
    DISK = "disk"  #: the disk is full; the next machine needs a larger one


class Limit(StrEnum):
    """The spending limit that applies to an attempt."""

    NONE = ""  #: no limit
    MAX_USD = "max_usd"  #: `max_usd` of the job
    APPROVED = "approved"  #: the amount that a user approved for the job
    MONTH = "usd_per_month"  #: `usd_per_month` of the Budget block
    PROJECT = "usd_per_project"  #: `usd_per_project` of the Budget block
    STORE = "store"  #: a limit exists, but the ledger of spending cannot be read


@dataclass(frozen=True)
class Outcome(StrictModel):
    """How an attempt ended. It is the last file that an agent writes to the remote."""

    ending: Ending
    reason: str
    generation: str | None = None  # the newest verified checkpoint on the remote
    sent_bytes: int = 0  # bytes that the machine copied to the remote (egress from the cloud)
    cause: Cause | None = None
    signal: int | None = None  # the signal that ended the program, if known
    exit_status: int | None = None  # of the program, if no signal ended it
    step: str = ""  # the step that was running
    limit: Limit = Limit.NONE  # the limit for which the controller ended it after the machine's price rose
    notice_at: float | None = None  # Unix seconds: when the agent learned that the attempt must end early
    saved_at: float | None = None  # Unix seconds: when this attempt's newest checkpoint was safe on the remote

    RULES: ClassVar[Mapping[str, Rule]] = {
        "ending": one_of(Ending),
        "reason": said(TEXT_CHARS, lines=True),
        "generation": maybe(named(GENERATION)),
        "sent_bytes": whole(0, MOST_BYTES),
        "cause": maybe(one_of(Cause)),
        "signal": maybe(whole(1, 64)),
        "exit_status": maybe(whole(0, 255)),
        "step": said(),
        "limit": one_of(Limit),
        "notice_at": maybe(number()),
        "saved_at": maybe(number()),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "ending", Ending(self.ending))
        if self.cause is not None:
            object.__setattr__(self, "cause", Cause(self.cause))
        object.__setattr__(self, "limit", Limit(self.limit))

    @property
    def saved_in_s(self) -> float | None:
        """Seconds from the notice to the next checkpoint on the remote; None if either is missing."""
        if self.notice_at is None or self.saved_at is None or self.saved_at < self.notice_at:
            return None
        return self.saved_at - self.notice_at

    @property
    def in_a_word(self) -> str:
        """Short label for tables: "completed", "lost: memory"."""
        return str(self.ending) if self.cause is None else f"{self.ending}: {self.cause}"
