"""Resources created by Spotwave in all zones of the project, found by label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spotwave.blocks.errors import Throttled
from spotwave.blocks.gcp.clients import Clients
from spotwave.blocks.tags import JOB

_PAGE = 500
_EMPTY = ("", "NO_RESULTS_ON_PAGE")


def our_instances(clients: Clients, kind: str, job_key: str | None, patience_s: float) -> Iterator[tuple[str, Any]]:
    """Yield (zone, item) for every instance or disk of this job, or of all. kind: 'instances' or 'disks'.

    Raises Throttled if a zone could not be read, since it may not be empty; otherwise FAILURES.
    """
    listed = getattr(clients, kind).aggregated_list(
        {
            "project": clients.project,
            "filter": f'labels.{JOB} = "{job_key}"' if job_key else f"labels.{JOB}:*",
            "max_results": _PAGE,
        },
        **Clients.call(patience_s),
    )
    for page in listed.pages:
        if page.unreachables:
            raise Throttled(f"Compute Engine cannot read {', '.join(page.unreachables)} at the moment")
        for scope, of_scope in page.items.items():
            if of_scope.warning.code not in _EMPTY:
                raise Throttled(f"Compute Engine warns of {scope}: {of_scope.warning.code}")
            for item in getattr(of_scope, kind):
                # Check the label again, so that a faulty filter never claims resources of others.
                if (its_job := item.labels.get(JOB)) and job_key in (None, its_job):
                    yield scope.rpartition("/")[2], item
