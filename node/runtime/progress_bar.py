"""The progress bar in the Prefect UI, updated by its own thread: an unreachable API must not block the work."""

from __future__ import annotations

import logging
import threading
from contextvars import copy_context
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

log = logging.getLogger(__name__)

EVERY_S = 2.0  # shortest time between updates
END_S = 5.0  # longest wait for the last update


class ProgressBar:
    """One progress artifact of the running flow, created with the first update.

    Updates that fail are dropped, since later ones follow.
    """

    def __init__(self) -> None:
        self._latest: tuple[float, str] | None = None
        self._wake = threading.Event()
        self._ended = threading.Event()
        # Copies the flow run's context, so that the artifact belongs to the run.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="bar", daemon=True)
        self._thread.start()

    def show(self, percent: float, text: str) -> None:
        self._latest = (percent, text)
        self._wake.set()

    def end(self) -> None:
        """Send the last update if the API accepts it within a few seconds, then end the thread."""
        self._ended.set()
        self._wake.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        artifact: UUID | None = None
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            while True:
                self._wake.wait()
                self._wake.clear()
                if (latest := self._latest) is not None:
                    try:
                        artifact = _shown(artifact, *latest)
                    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
                        log.info("the progress bar was not updated: %s", type(error).__name__)
                if self._ended.is_set() and self._latest is latest:
                    return
                self._ended.wait(EVERY_S)


def _shown(artifact: UUID | None, percent: float, text: str) -> UUID:
    if artifact is not None:
        update_progress_artifact(artifact, progress=percent, description=text)
        return artifact
    made = create_progress_artifact(percent, key="node-progress", description=text)
    assert isinstance(made, UUID)  # not a coroutine: this thread has no event loop
    return made
