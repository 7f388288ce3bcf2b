"""The process of the embedded server: Prefect's own command line, behind the guard.

    python -m spotwave.deployments.server_process server start ...

The auth string comes by PREFECT_SERVER_API_AUTH_STRING. Without one nothing is started.
"""

from __future__ import annotations

import sys
from typing import Any

from spotwave.node.agent.prefect_server import collect_apart, count_no_websockets


def stand_guard() -> None:
    """From now on each application that Prefect makes is guarded."""
    from prefect.server.api import server
    from prefect.settings import get_current_settings

    from spotwave.deployments.guard import Guard

    auth = get_current_settings().server.api.auth_string
    if auth is None or not auth.get_secret_value():
        sys.exit("PREFECT_SERVER_API_AUTH_STRING: the embedded server starts with one, or not at all")
    create, auth_string = server.create_app, auth.get_secret_value()

    def guarded(*arguments: Any, **options: Any) -> Guard:
        return Guard(create(*arguments, **options), auth_string)

    server.create_app = guarded  # type: ignore[assignment]


if __name__ == "__main__":
    collect_apart()
    from prefect.cli import app  # it takes seconds, in which garbage grows

    count_no_websockets()
    stand_guard()
    app()
