"""Exceptions that end the work on the machine without a result, for all kinds of jobs. Standard library only."""

from __future__ import annotations

from spotwave.node.outcome import Cause


class StopAsked(Exception):
    """The agent has requested the work to stop. The last checkpoint remains valid."""


class ProgramFailed(RuntimeError):
    """A program of the job ended with an error. The message quotes the last lines of its log.

    summary: the message in one line. cause: None if the calculation itself is at fault; otherwise another machine may
    succeed. signal, exit_status: how the program ended, unless Spotwave stopped it.
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
