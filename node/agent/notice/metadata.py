"""Base class of the three clouds' notice watchers: a thread that polls the metadata service.

Only a complete and valid answer counts as a notice. An error does not, and polling goes on after it.
"""

from __future__ import annotations

import http.client
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import ClassVar, Self

from spotwave.node.agent.notice.watcher import Notice

log = logging.getLogger("agent.notice")

# Never through a proxy: it would query the metadata service of its own machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    date: float | None  #: the service's clock, Unix seconds
    etag: str | None


class MetadataNotice(ABC):
    """Polls every `pause_s` seconds until there is a notice."""

    pause_s: ClassVar[float]

    def __init__(self, notice_s: float) -> None:
        self._notice_s = notice_s
        self._base = os.environ.get("SPOTWAVE_METADATA", "http://169.254.169.254")
        self._notice: Notice | None = None
        self._hint: str | None = None
        self._stopped = threading.Event()

    @abstractmethod
    def look(self) -> Notice | None:
        """Query the service once. Raises OSError or ValueError if there is no usable answer."""

    def poll(self) -> Notice | None:
        return self._notice

    def hint(self) -> str | None:
        return self._hint

    def begin(self) -> Self:
        threading.Thread(target=self._watch, name="notice", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop polling after the current request."""
        self._stopped.set()

    def _watch(self) -> None:
        away = False
        while not self._stopped.is_set() and self._notice is None:
            try:
                self._notice = self.look()
                away = False
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                if not away:
                    log.warning("no valid answer from the metadata service: %r", error)
                away = True
            self._stopped.wait(self.pause_s)

    def ask(self, path: str, headers: Mapping[str, str], *, method: str = "GET", timeout_s: float = 5.0) -> Answer:
        """Send a request and return the answer, whatever its HTTP status. Raises OSError if there is none."""
        request = urllib.request.Request(f"{self._base}{path}", headers=dict(headers), method=method)  # noqa: S310
        try:
            with _DIRECT.open(request, timeout=timeout_s) as answer:
                return _read(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error.code, error.read(), error.headers)

    def at(self, when: float, answer: Answer) -> Notice:
        """Return a notice for `when`, a time of the cloud's clock, converted to this machine's clock.

        The two clocks may differ. The time is at most the promised notice from now.
        """
        now = time.time()
        left_s = when - (answer.date if answer.date is not None else now)
        return Notice(now + min(max(0.0, left_s), self._notice_s))


class Unexpected(ValueError):
    """An answer of the metadata service that is not documented."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")


def _read(status: int, body: bytes, headers: Message) -> Answer:
    try:
        date = parsedate_to_datetime(headers["Date"]).timestamp() if headers.get("Date") else None
    except ValueError:
        date = None
    return Answer(status, body.decode(errors="replace"), date, headers.get("ETag"))
