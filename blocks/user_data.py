"""A machine's user data: node/bootstrap.sh with the brief and the settings of this attempt filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from importlib.resources import files

from node.contract import ENV_ATTEMPT, ENV_REMOTE, Brief

MAX_BYTES = 16_384  # AWS's limit, the narrowest of the clouds
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def render(brief: Brief, *, settings: Mapping[str, str], template: str | None = None) -> str:
    """The bootstrap script of an attempt. No secrets: user data can be read by whoever may describe the machine.

    The template's line ``@SETTINGS@`` becomes exports (SPOTWAVE_REMOTE and SPOTWAVE_ATTEMPT are told by the
    brief), its line ``@BRIEF@``, inside a quoted here-document, the brief as JSON.
    Raises ValueError for a name that no shell takes, a missing marker, or a result over `MAX_BYTES`.
    """
    if template is None:
        template = files("node").joinpath("bootstrap.sh").read_text()
    exports = {ENV_REMOTE: brief.remote, ENV_ATTEMPT: str(brief.attempt), **settings}
    for name in exports:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be an environment variable")
    parts = {
        "@SETTINGS@": "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        # Newlines inside JSON's strings are escaped, so no line of it can end the here-document.
        "@BRIEF@": brief.to_json(),
    }
    lines = template.splitlines()
    for marker in parts:
        if lines.count(marker) != 1:
            raise ValueError(f"the bootstrap template needs one line {marker}")
    script = "\n".join(parts.get(line, line) for line in lines) + "\n"
    if (size := len(script.encode())) > MAX_BYTES:
        raise ValueError(f"the user data has {size} bytes; clouds take {MAX_BYTES}")
    return script
