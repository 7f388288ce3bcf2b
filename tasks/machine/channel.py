"""Communication with an attempt's machine: the one place that knows whether it is direct or through the remote.

`DirectChannel`: the machine calls the Prefect API, and nothing needs to be done. `tasks.machine.mailbox.Mailbox`: the
machine cannot reach the API and leaves files on the remote, which are forwarded to Prefect. All other code then reads
Prefect in either case.
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
    """The channel to one attempt's machine."""

    least_silence_s: float  #: shortest time that counts as silence, however little a job allows

    def is_up(self) -> bool:
        """Whether the agent has reported."""

    def deliver_run(self, run_id: UUID) -> None:
        """Deliver the node run to the machine. Safe to repeat."""

    def poll(self, run_id: UUID, lease_id: str) -> None:
        """Update Prefect with the machine's reports. Raises RemoteError, httpx.HTTPError or PrefectHTTPStatusError."""

    def fence(self, lease_id: str) -> None:
        """Make a machine that was only unreachable stop itself. Safe to repeat."""

    def settle(self, run_id: UUID) -> None:
        """Forward the machine's last reports once it is gone. Safe to repeat."""


class DirectChannel:
    """Channel to a machine that reaches the Prefect API."""

    least_silence_s = 0.0

    def __init__(self, job: Job, attempt: int) -> None:
        self._api = api.client()
        self._worker = attempt_name(job.key, attempt)

    def is_up(self) -> bool:
        return api.worker_is_online(self._api, self._worker)

    def deliver_run(self, run_id: UUID) -> None:
        """Do nothing: its worker fetches the run from its queue."""

    def poll(self, run_id: UUID, lease_id: str) -> None:
        """Do nothing: the machine has reported to Prefect itself."""

    def fence(self, lease_id: str) -> None:
        api.fence(self._api, lease_id)

    def settle(self, run_id: UUID) -> None:
        """Do nothing: the machine has reported to Prefect itself."""


def channel_of(job: Job, attempt: int) -> Channel:
    """Return the channel that the job's access block requires. Raises NoSuchBlock."""
    return Mailbox(job, attempt) if load_access(job.access).detached else DirectChannel(job, attempt)
