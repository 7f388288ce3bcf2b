"""Functions shared by all clouds: HTTP requests, retries, writing secrets, powering off."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from typing import Any

METADATA = os.environ.get("SPOTWAVE_METADATA", "http://169.254.169.254")
INDEX = "https://pypi.org/simple/uv/"  # PEP 503, which mirrors support too
PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30, 30, 30)  # a role or an identity may need a minute or two to become usable
_PATIENCE_S = 120.0  # wait for an accepted deletion to take effect
_SENSITIVE = re.compile(r"pass|secret|token|key|cred|auth|sas|cookie", re.IGNORECASE)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_OUT = urllib.request.build_opener()


class Refused(Exception):
    """A request failed. The message holds no secret and no part of the request's body."""


def ask(
    url: str,
    headers: dict[str, str],
    method: str = "GET",
    body: bytes | None = None,
    timeout_s: float = 30.0,
) -> str:
    """Send a request and return the body of the answer. Raises Refused with status and error code."""
    request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - our own settings
    opener = _DIRECT if url.startswith(METADATA) else _OUT
    where = f"{method} {url.partition('?')[0]}"
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise Refused(f"{where}: HTTP {error.code} {_code(error)}".strip()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused(f"{where}: {type(error).__name__}") from None


def _code(error: urllib.error.HTTPError) -> str:
    """Return the error code from the cloud's JSON answer, without the message."""
    try:
        answer = json.loads(error.read())
        inner = answer.get("error", answer)
        code = inner if isinstance(inner, str) else inner.get("__type") or inner.get("status") or inner.get("code")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return ""
    return str(code or "").rpartition("#")[2][:80]


def patiently(action: Callable[[], Any]) -> Any:
    """Call `action`, with a retry after each pause. Raises the exception of the last try."""
    for pause_s in PAUSES_S:
        try:
            return action()
        except (Refused, ValueError, LookupError) as error:
            print(f"{error}; next try in {pause_s} s", file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(pause_s)
    return action()


def assign(path: str, node: Callable[[], int | None]) -> None:
    """Write the machine's index into its brief where several machines were given the same (node/contract.py, Brief).

    node: None where each machine was given a brief of its own.
    """
    with open(path) as file:
        brief = json.load(file)
    if brief.get("nodes", 1) == 1 or (index := patiently(node)) is None:
        return
    if index:
        brief.update(node=index, lease_id=brief["node_leases"][index - 1])
        with open(path, "w") as file:
            json.dump(brief, file, indent=1, sort_keys=True)


def own_files(secret: str) -> dict[str, Any]:
    """This node's files of the attempt's secret (node/identity.py, node_files). Raises ValueError."""
    with open(os.path.join(os.environ["SPOTWAVE_WORK"], "brief.json")) as file:
        node = json.load(file).get("node", 0)
    files = json.loads(secret)
    if not isinstance(files, dict):
        raise ValueError("the job's secret is not a JSON object {file name: text}")
    marked = {name: re.fullmatch(r"node-(\d+)\.(.+)", name) for name in files}
    own = {name: files[name] for name, found in marked.items() if not found}
    return {**own, **{found[2]: files[name] for name, found in marked.items() if found and int(found[1]) == node}}


def keep(folder: str, secret: str) -> None:
    """Write the secret's files, readable only by this user. Raises ValueError if it is not {file name: text}."""
    files = own_files(secret)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(folder, 0o700)
    for name, content in files.items():
        if os.path.basename(name) != name or not isinstance(content, str):
            raise ValueError("the job's secret is not a JSON object {file name: text}")
        part = os.path.join(folder, f".{name}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(content)
        os.replace(part, os.path.join(folder, name))


def fetch_uv(folder: str) -> None:
    """Download `uv` from its wheel on PyPI, with the version and one of the hashes given by SPOTWAVE_UV.

    Raises Refused if PyPI has no such wheel for this machine or the hash differs.
    """
    version, *hashes = os.environ["SPOTWAVE_UV"].split()
    wanted = rf'href="([^"#]+/uv-{re.escape(version)}-[^"#]*manylinux[^"#]*{platform.machine()}\.whl)[#"]'
    for link in re.findall(wanted, patiently(lambda: ask(INDEX, {"Accept": "text/html"}))):
        with _OUT.open(urllib.parse.urljoin(INDEX, link), timeout=120) as answer:
            wheel = answer.read()
        if hashlib.sha256(wheel).hexdigest() not in hashes:
            raise Refused(f"uv: the hash of {link} is not one of the pinned hashes")
        program = os.path.join(folder, "uv")
        with zipfile.ZipFile(io.BytesIO(wheel)) as parts, open(program, "wb") as out:
            out.write(parts.read(f"uv-{version}.data/scripts/uv"))
        os.chmod(program, 0o700)
        return
    raise Refused(f"uv: PyPI has no wheel of {version} for Linux on {platform.machine()}")


def tell(log: str) -> str:
    """Return the log without secrets. Also write it to the lease, if the API can be reached."""
    folder = os.environ["SPOTWAVE_SECRETS"]
    api: dict[str, Any] = {}
    secrets = []
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        with open(os.path.join(folder, name)) as file:
            content = file.read()
        if name == "api.json":
            api = json.loads(content)
            secrets += [str(value) for key, value in api.items() if _SENSITIVE.search(key)]
        # lines "key = value", and the strings inside a value that is itself JSON
        for key, value in re.findall(r"^\s*([\w-]+)\s*=\s*(.+?)\s*$", content, re.MULTILINE):
            if _SENSITIVE.search(key):
                secrets += [value, *re.findall(r'"([^"]{8,})"', value)]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            log = log.replace(secret, "***")
    log = re.sub(r"(?<=://)[^/@\s]+@", "***@", log)
    if api:
        with open(os.path.join(os.environ["SPOTWAVE_WORK"], "brief.json")) as file:
            _renew(api, json.load(file)["lease_id"], log)
    return log


def _renew(api: dict[str, Any], lease_id: str, log: str) -> None:
    """Renew the lease as node/agent/lease.py does, with the outcome "lost", since there is no agent yet."""
    headers = {"Content-Type": "application/json"}
    if api.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {api['PREFECT_API_KEY']}"
    elif api.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = "Basic " + base64.b64encode(api["PREFECT_API_AUTH_STRING"].encode()).decode()
    reason = "the machine could not start: " + " | ".join(log.strip().splitlines()[-5:])
    lease = {"beat": 0, "phase": "ended", "outcome": {"ending": "lost", "reason": reason}}
    text = json.dumps(lease)  # in pieces: Prefect truncates values at 500 characters (node.contract.Lease.to_metadata)
    pieces = {
        f"lease-{start // 450}" if start else "lease": text[start : start + 450] for start in range(0, len(text), 450)
    }
    body = {"data": f"**ended**\n\n{reason}", "metadata_": pieces}
    url = f"{api['PREFECT_API_URL'].rstrip('/')}/artifacts/{lease_id}"
    try:
        ask(url, headers, "PATCH", json.dumps(body).encode())
    except Refused as error:
        print(f"the lease was not renewed: {error}", file=sys.stderr)  # noqa: T201


def power_off() -> None:
    """Power off by any program that the image has. Last resort: on Azure a machine that is only off is still billed."""
    for command in (["poweroff"], ["shutdown", "-h", "now"], ["poweroff", "-f"]):
        try:
            if subprocess.run(command, check=False).returncode == 0:
                return
        except OSError:
            continue


def main(secret: Callable[[], str], end: Callable[[], bool], node: Callable[[], int | None]) -> int:
    """Run one command. `end` returns whether the cloud has accepted the request to delete the machine, `node` its
    index (see `assign`)."""
    command, *arguments = sys.argv[1:]
    try:
        if command == "secrets":
            keep(arguments[0], patiently(secret))
        elif command == "node":
            assign(arguments[0], node)
        elif command == "uv":
            fetch_uv(arguments[0])
        elif command == "tell":
            print(tell(sys.stdin.read()), end="")  # noqa: T201
        elif command == "end":
            if end():
                time.sleep(_PATIENCE_S)  # the machine is normally deleted during this wait
            power_off()
        else:
            raise Refused("unknown command")
    except (Refused, OSError, ValueError, LookupError) as error:
        print(f"{command}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
