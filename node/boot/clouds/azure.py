"""Azure calls from the machine: the user-assigned identity, Key Vault, and the deletion of the machine itself.

Source: learn.microsoft.com, REST `Virtual Machines - Delete`, `- Deallocate`, Key Vault `Get Secret`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.parse

from spotwave.node.boot.clouds.common import METADATA, Refused, ask, main, patiently

_API = "api-version=2024-07-01"


def _metadata(path: str, **query: str) -> str:
    # The first token of a machine may take a while.
    return ask(f"{METADATA}/metadata/{path}?{urllib.parse.urlencode(query)}", {"Metadata": "true"}, timeout_s=60)


def _token(resource: str) -> dict[str, str]:
    identity = os.environ["SPOTWAVE_IDENTITY"]
    query = {"api-version": "2018-02-01", "resource": resource, "client_id": identity}
    return {"Authorization": f"Bearer {json.loads(_metadata('identity/oauth2/token', **query))['access_token']}"}


def secret() -> str:
    # The first request enables Scheduled Events, which takes up to two minutes: send it now, without waiting.
    with contextlib.suppress(Refused):
        ask(f"{METADATA}/metadata/scheduledevents?api-version=2020-07-01", {"Metadata": "true"}, timeout_s=1)
    url = f"{os.environ['SPOTWAVE_SECRET_AT']}/secrets/{os.environ['SPOTWAVE_SECRET']}?api-version=7.4"
    return str(json.loads(ask(url, _token("https://vault.azure.net")))["value"])


def _manage(method: str, path: str) -> str:
    myself = _metadata("instance/compute/resourceId", **{"api-version": "2021-02-01", "format": "text"}).strip()
    url = f"{os.environ['SPOTWAVE_API_AT']}{myself}{path}"
    return ask(url, _token("https://management.azure.com/"), method, b"" if method == "POST" else None)


def end() -> bool:
    """Delete the machine, or else deallocate it, with retries. A machine that only shuts itself down is still billed.

    It is then "stopped (allocated)" and costs the full price.
    """
    for method, path in (("DELETE", f"?{_API}&forceDeletion=true"), ("POST", f"/deallocate?{_API}")):
        try:
            patiently(lambda method=method, path=path: _manage(method, path))  # type: ignore[misc]
        except (Refused, ValueError, LookupError) as error:
            print(f"end: {error}", file=sys.stderr)  # noqa: T201
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(secret, end, lambda: None))
