"""Google Cloud calls from the machine: the default service account, Secret Manager, deletion of the machine itself.

Source: cloud.google.com, Compute Engine REST `instances.delete`, Secret Manager REST `versions.access`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys

from spotwave.node.boot.clouds.common import METADATA, Refused, ask, main, patiently


def _metadata(path: str) -> str:
    return ask(f"{METADATA}/computeMetadata/v1/{path}", {"Metadata-Flavor": "Google"}, timeout_s=10)


def _token() -> dict[str, str]:
    token = json.loads(_metadata("instance/service-accounts/default/token"))["access_token"]
    return {"Authorization": f"Bearer {token}"}


def node() -> int:
    """As the instance's name has it (node/identity.py)."""
    found = re.search(r"-\d+-n([1-9]\d{0,2})(?=-|$)", _metadata("instance/name"))
    return int(found[1]) if found else 0


def secret() -> str:
    name = f"projects/{os.environ['SPOTWAVE_PROJECT']}/secrets/{os.environ['SPOTWAVE_SECRET']}"
    answer = ask(f"{os.environ['SPOTWAVE_SECRET_AT']}/v1/{name}/versions/latest:access", _token())
    return base64.b64decode(json.loads(answer)["payload"]["data"]).decode()


def _delete() -> str:
    zone, name = _metadata("instance/zone").rpartition("/")[2], _metadata("instance/name")
    path = f"compute/v1/projects/{os.environ['SPOTWAVE_PROJECT']}/zones/{zone}/instances/{name}"
    return ask(f"{os.environ['SPOTWAVE_API_AT']}/{path}", _token(), "DELETE")


def end() -> bool:
    """Delete the machine: one that is only off is still billed for its disk and address."""
    try:
        patiently(_delete)
    except (Refused, ValueError, LookupError) as error:
        print(f"end: {error}", file=sys.stderr)  # noqa: T201
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(secret, end, node))
