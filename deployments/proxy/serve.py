"""`spotwave proxy`: run the proxy in the foreground, in front of the API that the controller uses."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.load import load
from spotwave.deployments.api import Unavailable, check
from spotwave.deployments.existing_api import existing_api
from spotwave.deployments.home import Home
from spotwave.deployments.proxy.app import make_app
from spotwave.deployments.proxy.listener import OneAnswer, Server, SocketConnection
from spotwave.deployments.proxy.log_limit import LogLimit
from spotwave.deployments.proxy.places import Limits, Places
from spotwave.deployments.report import Report

_SLUG = "prefect-access"


def serve(home: Home, access: str, host: str, port: int, cert: Path | None, key: Path | None, report: Report) -> None:
    """Run until interrupted. Raises ValueError or Unavailable with a line for the user."""
    if (cert is None) != (key is None):
        raise ValueError("--cert, --key: give both, or neither if another server in front of the proxy does TLS")
    if cert is None and not _is_loopback(host):
        raise ValueError(f"--host {host}: needs --cert and --key; without them, use 127.0.0.1")
    api = existing_api(home)
    # Machines retry on their own: their connections must not be held while the API is unavailable.
    with api.in_use(home), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        settings = get_current_settings()
        if api.url.startswith(settings.cloud.api_url):
            raise ValueError("proxy: not needed with Prefect Cloud; use way='direct' with a service account's key")
        asyncio.run(check(api.url))
        listening = _listen(host, port)
        where = f"{'https' if cert else 'http'}://{host}:{listening.getsockname()[1]}"
        _log_to_stderr()
        with listening:
            ready = f"proxy ready: {where}, in front of {api.url}"
            make_server(_key_of(access), lambda: report(ready), cert, key).run([listening])


def make_server(
    token_key: str,
    ready: Callable[[], None] = lambda: None,
    cert: Path | None = None,
    key: Path | None = None,
    limits: Limits = Limits(),
) -> Server:
    """Return the proxy for the API of the current Prefect settings; `token_key` signs the machines' tokens."""
    config = uvicorn.Config(
        OneAnswer(make_app(token_key)),
        ssl_certfile=cert,
        ssl_keyfile=key,
        ws=SocketConnection,
        proxy_headers=False,  # clients are not identified by headers, which anyone can set
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    return Server(config, Places(limits), ready)


def _key_of(access: str) -> str:
    slug, _, name = access.partition("/")
    if slug != _SLUG or not name:
        raise ValueError(f"--access {access}: write it as {_SLUG}/<name of the block>")
    try:
        block = load(PrefectAccess, name)
    except ValueError as error:
        raise ValueError(f"--access {access}: the block does not exist or cannot be used: {error}") from error
    if block.proxy_key is None:
        raise ValueError(f"proxy_key: not set in the block {access}; PrefectAccess.new_key() creates a key")
    return block.proxy_key.get_secret_value()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Unavailable(f"--host, --port: cannot listen on {host}:{port}: {error.strerror}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stderr() -> None:
    """Log the proxy's messages with their time, and uvicorn's from level warning, to stderr."""
    handler = logging.StreamHandler()
    handler.addFilter(LogLimit())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("spotwave.deployments.proxy", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
