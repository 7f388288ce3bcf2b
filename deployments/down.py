"""`down`: end all Spotwave processes on this computer; machines in clouds keep running.

The order, with reasons:

1. The controller's worker and its engines, by SIGKILL. On SIGTERM an engine would run its teardown and terminate the
   machine of its job. After SIGKILL, `reconcile` resumes the job at the next `up`.
2. The local machines, after a notice in which they save a checkpoint and report to the server, which still runs. This
   does not count as an interruption: their jobs resume at the same size, with no loss recorded.
3. The embedded server, by SIGTERM, then SIGKILL. A server that the user configured is not touched.
4. All other processes with the environment mark, in case a note was lost.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from spotwave.blocks.models import Machine
from spotwave.deployments import server, worker
from spotwave.deployments.api import Api, Unavailable, configured_url
from spotwave.deployments.earlier_home import still_running
from spotwave.deployments.home import Home
from spotwave.deployments.machines import Found, Unreachable, find_all
from spotwave.deployments.processes import end, marked
from spotwave.deployments.report import Report

_NOTICE_S = 10.0


@dataclass(frozen=True)
class Remaining:
    """What still runs after `down`: machines in clouds by name, and local processes that could not be ended."""

    machines: list[str]
    processes: list[psutil.Process]


def down(home: Home, report: Report) -> Remaining:
    """End all processes of this home on this computer. Safe to repeat."""
    for line in still_running(home):
        report(line)
    if not home.path.exists():
        return Remaining([], [])  # nothing was ever started; do not create the folder
    with home.locked():
        url = configured_url(server.own_url(home))
        in_clouds = _machines_in_clouds(home, url)
        killed = worker.kill(home)
        if killed:
            report(f"controller's worker ended, {killed} process(es); running jobs are resumed at the next `up`")
        stopped = _stop_local_machines(home)
        if stopped:
            report(f"local machines ended: {', '.join(stopped)}")
        if server.stop(home):
            report("Prefect server ended")
        return Remaining(in_clouds, _sweep(home))


def _machines_in_clouds(home: Home, url: str | None) -> list[str]:
    """Return a line for each of Spotwave's machines in clouds, if the API still answers.

    Errors are returned as lines: they must not prevent `down` from ending the local processes.
    """
    note = server.running(home)
    api = Api(url, embedded=False) if url else Api(note.url, embedded=True) if note else None
    if api is None:
        return []
    try:
        with api.in_use(home), get_client(sync_client=True) as client:
            if api.embedded and client.api_healthcheck() is not None:
                return []  # the server has ended, or is still starting
            return [_described(one) for one in find_all(client, leave_out="local")]
    except Unavailable as error:
        return [f"possibly machines in clouds, which could not be listed. {error}"]
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        return [f"possibly machines in clouds, which could not be listed: {api.url} answers HTTP {status}"]


def _described(one: Found | Unreachable) -> str:
    if isinstance(one, Unreachable):
        return f"possibly machines on {one.block}, which could not be queried ({one.reason})"
    return f"{one.machine.name} ({one.machine.offer.label})"


def _stop_local_machines(home: Home) -> list[str]:
    if not any(home.machines.iterdir()):
        return []  # without importing the cloud's code
    from spotwave.blocks.local.block import LocalCloud
    from spotwave.blocks.local.processes import StillRunning

    cloud = LocalCloud(folder=str(home.machines))

    def stop(machine: Machine) -> str:
        with suppress(StillRunning):  # `_sweep` reports processes that could not be ended
            cloud.shut_down(machine, notice_s=_NOTICE_S)
        return machine.name

    machines = cloud.find()
    if not machines:
        return []
    with ThreadPoolExecutor(len(machines)) as pool:  # all at once, so that the notice times do not add up
        return list(pool.map(stop, machines))


def _sweep(home: Home) -> list[psutil.Process]:
    """End all processes with the home's mark; return those that could not be ended."""
    for machines in (False, True):
        end(marked(home.path, machines), grace_s=2)
    return [process for machines in (False, True) for process in marked(home.path, machines)]
