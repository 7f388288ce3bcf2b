"""What a run's process prints, when nobody reads it any more."""

from __future__ import annotations

import logging

from prefect.logging.handlers import PrefectConsoleHandler


class LastingConsole(PrefectConsoleHandler):
    """Falls silent where its reader has died.

    A run's output goes through a pipe to the worker that has started it. rich ends the process at a broken pipe
    (Console.on_broken_pipe): with the worker every job would end, and terminate its machine in the teardown.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except SystemExit:
            self.console.quiet = True
