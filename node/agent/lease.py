"""The lease: a Prefect artifact that the agent renews as its heartbeat. The controller deletes it to fence a machine.

Uses the standard library's HTTP, so that the agent needs no Prefect client in memory.
API: PATCH /artifacts/{id} with `data` and `metadata_` (Prefect 3, server/api/artifacts.py).
A machine that cannot reach the API renews its lease through the remote (node.agent.mailbox_lease).
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Protocol

from spotwave.node.agent.api_settings import trusted
from spotwave.node.contract import Lease
from spotwave.node.storage.remote import RemoteError

log = logging.getLogger("agent.lease")

# After two minutes without a renewal the controller checks the remote; with periods of 5 s the copy is there by then.
_UNANSWERED_PERIODS = 5


class Fenced(Exception):
    """The lease was deleted: the controller gave up this attempt, which must stop and write nothing more."""


class Renews(Protocol):
    """Client that renews a lease."""

    cheap: bool  #: whether a renewal costs so little that every new line of progress may cause one

    def renew(self, lease: Lease) -> None:
        """Renew the lease. Raises Fenced if the attempt was given up, OSError or RemoteError if there is no answer."""


class LeaseClient:
    """Renews one lease at the Prefect API.

    settings: the PREFECT_* settings that reach the API (PREFECT_API_URL, and PREFECT_API_KEY or
        PREFECT_API_AUTH_STRING if the server requires one).
    """

    cheap = True

    def __init__(self, settings: Mapping[str, str], lease_id: str, timeout_s: float = 10.0) -> None:
        self._url = f"{settings['PREFECT_API_URL'].rstrip('/')}/artifacts/{lease_id}"
        self._timeout_s = timeout_s
        self._trusted = trusted(settings)
        self._headers = {"Content-Type": "application/json"}
        if key := settings.get("PREFECT_API_KEY"):
            self._headers["Authorization"] = f"Bearer {key}"
        elif auth := settings.get("PREFECT_API_AUTH_STRING"):
            self._headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()

    def renew(self, lease: Lease) -> None:
        """Renew the lease. Raises Fenced if it was deleted, OSError if the API does not answer or reports an error."""
        body = {"data": lease.for_people, "metadata_": lease.to_metadata()}
        request = urllib.request.Request(  # noqa: S310 - the scheme is the controller's, not a user's
            self._url, data=json.dumps(body).encode(), headers=self._headers, method="PATCH"
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._trusted):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise Fenced from error
            raise


class LeaseKeeper(threading.Thread):
    """Renews the lease every `period_s`, and at once after `changed` is called.

    on_fenced: called once, when the lease has been deleted.
    unanswered: called from this thread every five periods while there is no answer; it must not block forever.
    """

    def __init__(
        self,
        client: Renews,
        period_s: float,
        current: Callable[[int], Lease],
        on_fenced: Callable[[], None],
        unanswered: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name="lease", daemon=True)
        self._client = client
        self._period_s = period_s
        self._current = current
        self._on_fenced = on_fenced
        self._unanswered = unanswered
        self._beat = 0
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._answered = self._last_fallback = time.monotonic()
        self.problem = ""  #: why the last renewal failed; "" if it succeeded

    @property
    def silent_s(self) -> float:
        """Seconds since the last successful renewal."""
        return time.monotonic() - self._answered

    def changed(self) -> None:
        """Renew now."""
        self._wake.set()

    def progressed(self) -> None:
        """Renew now because of new progress if that is cheap; otherwise leave it to the next period."""
        if self._client.cheap:
            self._wake.set()

    def renew(self) -> bool:
        """Renew once in the calling thread. Return False if there is no answer."""
        with self._lock:
            self._beat += 1
            try:
                self._client.renew(self._current(self._beat))
            except (OSError, RemoteError) as error:
                log.warning("lease not renewed: %s", error)
                self.problem = str(error) or type(error).__name__
                return False
            self._answered, self.problem = time.monotonic(), ""
            self._last_fallback = self._answered
            return True

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                answered = self.renew()
            except Fenced:
                self._on_fenced()
                return
            quiet_s = time.monotonic() - self._last_fallback
            if not answered and self._unanswered is not None and quiet_s >= _UNANSWERED_PERIODS * self._period_s:
                self._last_fallback = time.monotonic()
                self._unanswered()
            self._wake.wait(self._period_s)
            self._wake.clear()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()
        self.join(timeout=15)
