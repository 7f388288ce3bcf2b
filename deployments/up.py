"""`up`: from nothing, or from whatever is left, to a Prefect that is ready to run jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient, get_client

from spotwave.deployments import server, worker
from spotwave.deployments.api import (
    Api,
    Unavailable,
    base_environment,
    check,
    configured_url,
    remove_prefect_toml,
)
from spotwave.deployments.documents import follow_move
from spotwave.deployments.earlier_home import move_earlier
from spotwave.deployments.earlier_version import refuse_unfinished
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string
from spotwave.deployments.pools import BadLimit, Limit, ensure_pools, limit_for
from spotwave.deployments.profile import write_profile
from spotwave.deployments.register import ensure_registered
from spotwave.deployments.restart import restart_other
from spotwave.flows.housekeeping.reconcile import adopt
from spotwave.node.contract import CONTROLLER_POOL

_ONLINE_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Up:
    """What `up` found or made."""

    api: Api
    server_started: bool
    worker_started: bool
    registered: bool


def up(home: Home, say: Say, reconcile: bool = True) -> Up:
    """Make everything run that a job needs; what runs already is left alone. Safe to repeat, and to race.

    At the end, if asked to or if the worker had to be started, jobs that lost their process are taken up again.

    Raises Unavailable with a message for the user.
    """
    base_environment()  # what it raises is said before anything is started
    move_earlier(home, say)
    with home.locked():
        restart_other(home, say)
        api, server_started = _api(home, say)
        limit = _limit(home, api)
        with api.in_use(home), get_client(sync_client=True) as client:
            # Before there is a worker: one of this version would start the runs of an earlier one, and crash them.
            refuse_unfinished(client)
            ensure_pools(client, limit)
            follow_move(home, client, say)  # before anything reads a document
            registered = ensure_registered(home, api, client)
            if registered:
                say("blocks and deployments registered")
            worker_started = worker.ensure(home, api)
            if worker_started:
                _wait_online(home, client)
                say(f"controller's worker started: {worker.name()}")
            if reconcile or worker_started:
                # Here and not as a run: a dead one may hold the only place that the deployment has.
                for name, action in adopt(client).items():
                    say(f"{name}: {action}")
    return Up(api, server_started, worker_started, registered)


def _api(home: Home, say: Say) -> tuple[Api, bool]:
    remove_prefect_toml(home.path)
    url = configured_url(server.own_url(home))
    if url is not None:
        api = Api(url, embedded=False)
        with api.in_use(home):
            asyncio.run(check(url))
        say(f"Prefect API as configured: {url}")
        return api, False
    if server.running(home) is None:
        say("starting the Prefect server")
    api, started = server.ensure(home)
    say(f"Prefect {'server started' if started else 'server runs'}: {api.ui_url}, data in {server.place_of_data(home)}")
    write_profile(api.url, auth_string(home), say)
    return api, started


def _limit(home: Home, api: Api) -> Limit:
    """How many jobs may run at once. Raises Unavailable."""
    try:
        return limit_for(server.on_sqlite(home) if api.embedded else None)
    except BadLimit as error:
        raise Unavailable(str(error)) from error


def _wait_online(home: Home, client: SyncPrefectClient) -> None:
    """Wait until the API knows the worker as online. Raises Unavailable with the worker's last words."""
    deadline = time.monotonic() + _ONLINE_S
    while (note := worker.running(home)) is not None and time.monotonic() < deadline:
        rows = client.read_workers_for_work_pool(CONTROLLER_POOL)
        # The row of a worker that was killed stays online for a while: only a fresh heartbeat counts.
        seen = [row.last_heartbeat_time for row in rows if row.name == worker.name()]
        if any(time_ is not None and time_.timestamp() > note.started for time_ in seen):
            return
        time.sleep(0.2)
    raise Unavailable(f"The controller's worker does not come up. {worker.quoted_log(home)}")


def existing_api(home: Home) -> Api:
    """The API in use, without starting anything. Raises Unavailable if there is none."""
    url = configured_url(server.own_url(home))
    if url is not None:
        return Api(url, embedded=False)
    note = server.running(home)
    if note is None:
        raise Unavailable("Nothing runs: start it with `spotwave up`.")
    return Api(note.url, embedded=True)
