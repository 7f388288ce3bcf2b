"""How work on the machine ends that has no result, whatever the kind of job. Standard library only."""

from __future__ import annotations

from spotwave.node.outcome import Cause


class StopAsked(Exception):
    """The agent wants the work to end; the last checkpoint stands."""


class ProgramFailed(RuntimeError):
    """A program that the job runs ended with an error; the message quotes the last lines of its log.

    summary: the same in one line. cause: None where the calculation itself is at fault; else another machine may do
    better. signal, exit_status: which of them ended the program, if it was not us.
    """

    def __init__(
        self,
        message: str,
        *,
        summary: str = "",
        cause: Cause | None = None,
        signal: int | None = None,
        exit_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.summary = summary or message.partition("\n")[0]
        self.cause, self.signal, self.exit_status = cause, signal, exit_status
