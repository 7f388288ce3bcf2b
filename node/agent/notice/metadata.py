"""What the watchers of the three clouds share: a thread that asks the metadata service, and is never in a hurry to
believe: only a whole, understood answer is a notice; an error is none, nor does it end the watch."""

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

# A proxy would ask its own machine's service, if any.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    date: float | None  #: the service's clock, Unix seconds
    etag: str | None


class MetadataNotice(ABC):
    """Asks every `pause_s` seconds until there is a notice."""

    pause_s: ClassVar[float]

    def __init__(self, notice_s: float) -> None:
        self._notice_s = notice_s
        self._base = os.environ.get("SPOTWAVE_METADATA", "http://169.254.169.254")
        self._notice: Notice | None = None
        self._hint: str | None = None
        self._stopped = threading.Event()

    @abstractmethod
    def look(self) -> Notice | None:
        """Ask once. Raises OSError or ValueError if nothing was learned."""

    def poll(self) -> Notice | None:
        return self._notice

    def hint(self) -> str | None:
        return self._hint

    def begin(self) -> Self:
        threading.Thread(target=self._watch, name="notice", daemon=True).start()
        return self

    def stop(self) -> None:
        """No question after the one that is out."""
        self._stopped.set()

    def _watch(self) -> None:
        away = False
        while not self._stopped.is_set() and self._notice is None:
            try:
                self._notice = self.look()
                away = False
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                if not away:
                    log.warning("the metadata service does not answer as it should: %r", error)
                away = True
            self._stopped.wait(self.pause_s)

    def ask(self, path: str, headers: Mapping[str, str], *, method: str = "GET", timeout_s: float = 5.0) -> Answer:
        """Raises OSError if there is no answer; every status is one."""
        request = urllib.request.Request(f"{self._base}{path}", headers=dict(headers), method=method)  # noqa: S310
        try:
            with _DIRECT.open(request, timeout=timeout_s) as answer:
                return _read(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error.code, error.read(), error.headers)

    def at(self, when: float, answer: Answer) -> Notice:
        """A time of the cloud's clock by this machine's, which may be off; at most the promised notice from now."""
        now = time.time()
        left_s = when - (answer.date if answer.date is not None else now)
        return Notice(now + min(max(0.0, left_s), self._notice_s))


class Unexpected(ValueError):
    """An answer, but none of those that are documented."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")


def _read(status: int, body: bytes, headers: Message) -> Answer:
    try:
        date = parsedate_to_datetime(headers["Date"]).timestamp() if headers.get("Date") else None
    except ValueError:
        date = None
    return Answer(status, body.decode(errors="replace"), date, headers.get("ETag"))
