"""How an attempt ended, and what was short; part of what both sides agree on (node.contract).

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
    """How an attempt ended, and what follows."""

    COMPLETED = "completed"  #: the result is on the remote; collect
    FAILED = "failed"  #: the calculation itself failed, or our own code; another machine would fail too
    INTERRUPTED = "interrupted"  #: the cloud gave notice; next attempt from the checkpoint
    LOST = "lost"  #: the machine vanished, fell silent or could not do it (Cause); next attempt from the checkpoint
    DEADLINE = "deadline"  #: the time allowed is over; kept, not continued
    FORGOTTEN = "forgotten"  #: nobody gave it work; next attempt
    SUSPENDED = "suspended"  #: somebody suspended the job; next attempt from the checkpoint when it is resumed
    HOST_DOWN = "host down"  #: stopped with the computer that it ran on; next attempt, and no loss


class Cause(StrEnum):
    """Why a machine was lost that its cloud had not taken. None, in an outcome: the cloud, or nobody knows."""

    PROGRAM = "program"  #: a process of the work died of itself; twice in the same way, and it would a third time
    MEMORY = "memory"  #: the next machine needs more of it
    DISK = "disk"  #: the next machine needs a bigger one


class Limit(StrEnum):
    """Which limit on money holds for an attempt."""

    NONE = ""  #: no limit
    MAX_USD = "max_usd"  #: of the job
    APPROVED = "approved"  #: what somebody approved for the job
    MONTH = "usd_per_month"  #: of the Budget block
    PROJECT = "usd_per_project"  #: of the Budget block
    STORE = "store"  #: there is one, and the ledger of spending cannot be read


@dataclass(frozen=True)
class Outcome(StrictModel):
    """How an attempt ended; the last file an agent writes to the remote."""

    ending: Ending
    reason: str
    generation: str | None = None  # the newest verified checkpoint on the remote
    sent_bytes: int = 0  # what the machine has copied to the remote: it leaves the cloud
    cause: Cause | None = None
    signal: int | None = None  # that ended the program, where the machine could see it
    exit_status: int | None = None  # of the program, if no signal ended it
    step: str = ""  # the work was at
    limit: Limit = Limit.NONE  # for which the controller ended it, since its machine's price has risen
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
        """From the notice to a checkpoint that was safe afterwards; None without either."""
        if self.notice_at is None or self.saved_at is None or self.saved_at < self.notice_at:
            return None
        return self.saved_at - self.notice_at

    @property
    def in_a_word(self) -> str:
        """For tables: "completed", "lost: memory"."""
        return str(self.ending) if self.cause is None else f"{self.ending}: {self.cause}"
