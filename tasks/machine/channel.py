"""How the controller hears of an attempt's machine, and is heard: the one place that knows whether by Prefect or not.

`DirectChannel`: the machine speaks to the Prefect API, and nothing needs to be done. `tasks.machine.mailbox.Mailbox`:
it cannot, and leaves letters on the remote, which are handed on to Prefect; all else then reads Prefect as if it had.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from spotwave.node.contract import attempt_name
from spotwave.tasks import api
from spotwave.tasks.load_blocks import load_access
from spotwave.tasks.machine.mailbox import Mailbox
from spotwave.tasks.records import Job


class Channel(Protocol):
    """The line to one attempt's machine."""

    least_silence_s: float  #: what is no silence yet, however little a job allows

    def is_up(self) -> bool:
        """Whether the agent has spoken."""

    def deliver_run(self, run_id: UUID) -> None:
        """Give the machine its run. Safe to repeat."""

    def poll(self, run_id: UUID, lease_id: str) -> None:
        """Bring Prefect up to date. Raises RemoteError, or httpx.HTTPError or PrefectHTTPStatusError."""

    def fence(self, lease_id: str) -> None:
        """Make a machine that was only silent stop by itself. Safe to repeat."""

    def settle(self, run_id: UUID) -> None:
        """Bring the last of it, when the machine is gone. Safe to repeat."""


class DirectChannel:
    """The machine reaches the Prefect API."""

    least_silence_s = 0.0

    def __init__(self, job: Job, attempt: int) -> None:
        self._api = api.client()
        self._worker = attempt_name(job.key, attempt)

    def is_up(self) -> bool:
        return api.worker_is_online(self._api, self._worker)

    def deliver_run(self, run_id: UUID) -> None:
        """Its worker fetches the run from its queue."""

    def poll(self, run_id: UUID, lease_id: str) -> None:
        """It has told Prefect itself."""

    def fence(self, lease_id: str) -> None:
        api.fence(self._api, lease_id)

    def settle(self, run_id: UUID) -> None:
        """It has told Prefect itself."""


def channel_of(job: Job, attempt: int) -> Channel:
    """As the job's access block says. Raises NoSuchBlock."""
    return Mailbox(job, attempt) if load_access(job.access).detached else DirectChannel(job, attempt)
