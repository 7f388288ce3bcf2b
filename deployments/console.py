"""A log handler for runs that survives the end of the process that reads its output."""

from __future__ import annotations

import logging

from prefect.logging.handlers import PrefectConsoleHandler


class LastingConsole(PrefectConsoleHandler):
    """Console handler that stops printing if its pipe is broken.

    A run's output goes through a pipe to the worker that started it. rich ends the process at a broken pipe
    (Console.on_broken_pipe). Then every job would end with the worker, and terminate its machine in the teardown.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except SystemExit:
            self.console.quiet = True
