"""The process of the embedded server: Prefect's own command line with the guard (deployments/guard.py).

    python -m spotwave.deployments.server_process server start ...

Reads the auth string from PREFECT_SERVER_API_AUTH_STRING, and exits if it is not set.
"""

from __future__ import annotations

import sys
from typing import Any

from spotwave.node.agent.prefect_server import collect_apart, count_no_websockets


def guard_applications() -> None:
    """Wrap every server application that Prefect creates from now on in the guard."""
    from prefect.server.api import server
    from prefect.settings import get_current_settings

    from spotwave.deployments.guard import Guard

    auth = get_current_settings().server.api.auth_string
    if auth is None or not auth.get_secret_value():
        sys.exit("PREFECT_SERVER_API_AUTH_STRING: not set, but required to start the embedded server")
    create, auth_string = server.create_app, auth.get_secret_value()

    def guarded(*arguments: Any, **options: Any) -> Guard:
        return Guard(create(*arguments, **options), auth_string)

    server.create_app = guarded  # type: ignore[assignment]


if __name__ == "__main__":
    collect_apart()
    from prefect.cli import app  # takes seconds, so the garbage collection is set up first

    count_no_websockets()
    guard_applications()
    app()
