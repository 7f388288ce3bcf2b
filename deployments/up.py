"""`up`: start or complete all that a job needs: Prefect server, blocks, deployments and the controller's worker."""

from __future__ import annotations

import asyncio
import time
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
from spotwave.deployments.earlier_pool import move_controller_pool
from spotwave.deployments.earlier_version import refuse_unfinished
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string
from spotwave.deployments.pools import BadLimit, Limit, ensure_pools, limit_for
from spotwave.deployments.profile import write_profile
from spotwave.deployments.register import ensure_registered
from spotwave.deployments.report import Report
from spotwave.deployments.restart import restart_other
from spotwave.flows.housekeeping.reconcile import adopt
from spotwave.flows.queue.admission import InvalidLimits, read_limits
from spotwave.node.contract import CONTROLLER_POOL

_ONLINE_S = 60.0


@dataclass(frozen=True)
class Up:
    """What `up` has started, registered or found running."""

    api: Api
    server_started: bool
    worker_started: bool
    registered: bool


def up(home: Home, report: Report, reconcile: bool = True) -> Up:
    """Start everything that a job needs and that does not run yet. Safe to repeat and to call concurrently.

    With `reconcile`, or if the worker had to be started, jobs that lost their process are resumed at the end.

    Raises Unavailable with a message for the user.
    """
    base_environment()  # reports invalid settings before anything is started
    move_earlier(home, report)
    with home.locked():
        restart_other(home, report)
        api, server_started = _api(home, report)
        limit = _limit(home, api)
        with api.in_use(home), get_client(sync_client=True) as client:
            # Before the worker starts: it would start runs of an earlier version, which would crash.
            refuse_unfinished(client)
            if move_controller_pool(client):
                report(f"pool {CONTROLLER_POOL}: moved to the worker type of this version")
            ensure_pools(client, limit)
            follow_move(home, client, report)  # before any block document is read
            registered = ensure_registered(home, api, client)
            if registered:
                report("blocks and deployments registered")
            worker_started = worker.ensure(home, api)
            if worker_started:
                _wait_online(home, client)
                report(f"controller's worker started: {worker.name()}")
            if reconcile or worker_started:
                # Not as a flow run: a crashed run may still occupy the deployment's only concurrency slot.
                for name, action in adopt(client).items():
                    report(f"{name}: {action}")
    return Up(api, server_started, worker_started, registered)


def _api(home: Home, report: Report) -> tuple[Api, bool]:
    remove_prefect_toml(home.path)
    url = configured_url(server.own_url(home))
    if url is not None:
        api = Api(url, embedded=False)
        with api.in_use(home):
            asyncio.run(check(url))
        report(f"Prefect API as configured: {url}")
        return api, False
    if server.running(home) is None:
        report("starting the Prefect server")
    api, started = server.ensure(home)
    report(
        f"Prefect {'server started' if started else 'server runs'}: {api.ui_url}, data in {server.place_of_data(home)}"
    )
    write_profile(api.url, auth_string(home), report)
    return api, started


def _limit(home: Home, api: Api) -> Limit:
    """Return the maximum number of concurrent jobs. Raises Unavailable."""
    try:
        read_limits(home.path)  # read again by the controller whenever the file changes
        return limit_for(server.on_sqlite(home) if api.embedded else None)
    except (BadLimit, InvalidLimits) as error:
        raise Unavailable(str(error)) from error


def _wait_online(home: Home, client: SyncPrefectClient) -> None:
    """Wait until the API shows the worker as online. Raises Unavailable with the worker's last log lines."""
    deadline = time.monotonic() + _ONLINE_S
    while (note := worker.running(home)) is not None and time.monotonic() < deadline:
        rows = client.read_workers_for_work_pool(CONTROLLER_POOL)
        # A killed worker is shown as online for a while: only a heartbeat since the start counts.
        seen = [row.last_heartbeat_time for row in rows if row.name == worker.name()]
        if any(time_ is not None and time_.timestamp() > note.started for time_ in seen):
            return
        time.sleep(0.2)
    raise Unavailable(f"The controller's worker did not start. {worker.quoted_log(home)}")
