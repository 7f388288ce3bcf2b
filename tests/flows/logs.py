"""Log lines of a run."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId


def messages(client: SyncPrefectClient, flow_run_id: UUID) -> list[str]:
    """Return all log lines of a run (a few hundred), in pages."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    found: list[str] = []
    while True:
        page = client.read_logs(wanted, limit=200, offset=len(found))
        found += [line.message for line in page]
        if len(page) < 200:
            return found
