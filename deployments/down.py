"""`down`: everything of ours on this computer ends; machines in clouds go on.

The order, and why:

1. The controller's worker and its engines, by SIGKILL. Asked politely, an engine would run its teardown and
   terminate the machine of its job; killed, it leaves a job that `reconcile` takes up at the next `up`.
2. The local machines are shut down: after a notice, in which they save a checkpoint and tell the still
   running server. That is no interruption: their jobs go on at the same size, and none counts it as a loss.
3. The embedded server, by SIGTERM, then SIGKILL. A server that the user configured is not touched.
4. A sweep by environment mark, for whatever slipped out of its note.
"""

from __future__ import annotations

from collections.abc import Callable
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
from spotwave.deployments.machines import Found, Silent, find_all
from spotwave.deployments.processes import end, marked

_NOTICE_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Left:
    """What runs on after `down`: machines in clouds by name, and our processes that could not be ended."""

    machines: list[str]
    processes: list[psutil.Process]


def down(home: Home, say: Say) -> Left:
    """End everything of this home on this computer. Safe to repeat."""
    for line in still_running(home):
        say(line)
    if not home.path.exists():
        return Left([], [])  # nothing was ever started, and no folder need be made
    with home.locked():
        url = configured_url(server.own_url(home))
        away = _machines_away(home, url)
        killed = worker.kill(home)
        if killed:
            say(f"controller's worker ended, {killed} process(es); running jobs are taken up again at the next `up`")
        stopped = _stop_local_machines(home)
        if stopped:
            say(f"local machines ended: {', '.join(stopped)}")
        if server.stop(home):
            say("Prefect server ended")
        return Left(away, _sweep(home))


def _machines_away(home: Home, url: str | None) -> list[str]:
    """Names of our machines on clouds other than this computer, as far as the API still answers. What keeps it from
    answering must not keep us from ending what is here."""
    note = server.running(home)
    api = Api(url, embedded=False) if url else Api(note.url, embedded=True) if note else None
    if api is None:
        return []
    try:
        with api.in_use(home), get_client(sync_client=True) as client:
            if api.embedded and client.api_healthcheck() is not None:
                return []  # it has ended, or has only just been started
            return [_described(one) for one in find_all(client, leave_out="local")]
    except Unavailable as error:
        return [f"perhaps machines in clouds, which could not be asked for. {error}"]
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        return [f"perhaps machines in clouds, which could not be asked for: {api.url} answers HTTP {status}"]


def _described(one: Found | Silent) -> str:
    if isinstance(one, Silent):
        return f"perhaps something on {one.block}, which could not be asked ({one.reason})"
    return f"{one.machine.name} ({one.machine.offer.label})"


def _stop_local_machines(home: Home) -> list[str]:
    if not any(home.machines.iterdir()):
        return []  # and no need to import the cloud's code
    from spotwave.blocks.local.block import LocalCloud
    from spotwave.blocks.local.processes import StillRunning

    cloud = LocalCloud(folder=str(home.machines))

    def stop(machine: Machine) -> str:
        with suppress(StillRunning):  # the sweep names what could not be ended
            cloud.shut_down(machine, notice_s=_NOTICE_S)
        return machine.name

    machines = cloud.find()
    if not machines:
        return []
    with ThreadPoolExecutor(len(machines)) as pool:  # one notice time for all, not one after the other
        return list(pool.map(stop, machines))


def _sweep(home: Home) -> list[psutil.Process]:
    """End whatever still carries the home's mark; returns what could not be ended."""
    for machines in (False, True):
        end(marked(home.path, machines), grace_s=2)
    return [process for machines in (False, True) for process in marked(home.path, machines)]
