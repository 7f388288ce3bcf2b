"""Client of the controller's Prefect API, with the controller's credentials."""

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

MOST_FRAME_BYTES = 2_000_000  #: Prefect's own limit for one event is 1.5 MB
_AUTHENTICATION_S = 10.0  # time limit for the API to accept the proxy's credentials


class ApiUnavailable(Exception):
    """The API does not answer, or gives an unexpected answer."""


class Upstream:
    """HTTP and websocket connections to the API of `client`."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        own = get_current_settings().api
        self._auth = own.auth_string.get_secret_value() if own.auth_string else None
        self._sockets = str(client.api_url).rstrip("/").replace("http", "ws", 1)

    async def send(self, method: Method, path: str, body: object = None) -> httpx.Response:
        """Send a request and return the response, also for HTTP errors. Raises ApiUnavailable without a response."""
        content = None if body is None else json.dumps(body)
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            # The path is already complete, but the client's type allows only templates.
            return await self._client.request(method, path, content=content, headers=headers)  # type: ignore[arg-type]
        except PrefectHTTPStatusError as error:
            return error.response
        except httpx.HTTPError as error:
            raise ApiUnavailable(type(error).__name__) from error

    async def ask(self, method: Method, path: str, body: object = None) -> Any | None:
        """Return the JSON of the response, or None for 404. Raises ApiUnavailable for any other error."""
        answer = await self.send(method, path, body)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise ApiUnavailable(f"HTTP {answer.status_code}")
        return answer.json()

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[ClientConnection]:
        """Open a websocket and authenticate it by its header and its first message. Raises ApiUnavailable.

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
                async with asyncio.timeout(_AUTHENTICATION_S):
                    answer = json.loads(await socket.recv())
                if answer.get("type") != "auth_success":
                    raise ApiUnavailable("the API does not accept the proxy's credentials")
                yield socket
        except (OSError, TimeoutError, WebSocketException) as error:
            raise ApiUnavailable(type(error).__name__) from error
