"""The controller's own Prefect API, asked with the controller's credentials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
from prefect._internal.websockets import websocket_connect  # TLS, proxies and headers as Prefect's own clients
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from spotwave.blocks.access import basic

Method = Literal["GET", "POST", "PATCH"]

MOST_FRAME_BYTES = 2_000_000  #: Prefect's own limit of one event is 1.5 MB
_FIRST_WORD_S = 10.0  # for the API to let the proxy in


class Away(Exception):
    """The API does not answer, or answers what it never should."""


class Upstream:
    """Speaks HTTP and websockets to the API that `client` belongs to."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        own = get_current_settings().api
        self._auth = own.auth_string.get_secret_value() if own.auth_string else None
        self._sockets = str(client.api_url).rstrip("/").replace("http", "ws", 1)

    async def send(self, method: Method, path: str, body: object = None) -> httpx.Response:
        """Any answer of the API, errors included. Raises Away if there is none."""
        content = None if body is None else json.dumps(body)
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            # A path of our own making: the type knows only templates.
            return await self._client.request(method, path, content=content, headers=headers)  # type: ignore[arg-type]
        except PrefectHTTPStatusError as error:
            return error.response
        except httpx.HTTPError as error:
            raise Away(type(error).__name__) from error

    async def ask(self, method: Method, path: str, body: object = None) -> Any | None:
        """The JSON of an answer, or None for 404. Raises Away for everything else."""
        answer = await self.send(method, path, body)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise Away(f"HTTP {answer.status_code}")
        return answer.json()

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[ClientConnection]:
        """A websocket that has been let in: by its header, and by its first message. Raises Away.

        Prefect 3.9.1: server/utilities/subscriptions.py.
        """
        headers = {"Authorization": basic(self._auth)} if self._auth else {}
        connect = websocket_connect(
            f"{self._sockets}{path}",
            subprotocols=[Subprotocol("prefect")],
            additional_headers=headers,
            max_size=MOST_FRAME_BYTES,
        )
        try:
            async with connect as socket:
                await socket.send(json.dumps({"type": "auth", "token": self._auth}))
                async with asyncio.timeout(_FIRST_WORD_S):
                    told = json.loads(await socket.recv())
                if told.get("type") != "auth_success":
                    raise Away("the API does not let the proxy in")
                yield socket
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Away(type(error).__name__) from error
