"""Files in a local machine's folder, parsed as untrusted input, since the machine's own processes can write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spotwave.blocks.models import Machine
from spotwave.node.untrusted.strict_json import BadJson, load_file, load_object
from spotwave.node.untrusted.strict_model import number, whole

NOTICE_FILE = "notice.json"
ROOT_FILE = "root.json"
ENDED_FILE = "ended.json"
LAST_ACT_FILE = "last-act"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_PID, _TIME = whole(2, 2**31 - 1), number(0, 1e11)
_BY = ("cloud", "host", "us", "itself")


def is_name(id_: str) -> bool:
    """Whether a text is valid as a machine's id, which is also a folder name."""
    return _NAME.fullmatch(id_) is not None


def machine_of(tags: str | bytes, id_: str) -> Machine | None:
    """Parse the tags of the machine with that id; None if they are invalid or belong to another one."""
    try:
        machine = Machine.model_validate(load_object(tags))
    except (BadJson, ValidationError):
        return None
    offer = machine.offer
    own = machine.id == id_ == f"{machine.name}-{offer.instance_type}"
    return machine if own and is_name(id_) and min(offer.spot_usd_h, machine.disk_gib) >= 0 else None


def root_of(path: Path) -> tuple[int, float]:
    """Parse root.json: (pid, start in Unix seconds) of the first process. Raises FileNotFoundError, ValueError."""
    fields = load_file(path)
    return _PID(fields.get("pid")), _TIME(fields.get("started"))


def notice_of(path: Path) -> str | None:
    """Parse notice.json: the action announced to the machine; "" if invalid, None if there is no notice."""
    try:
        action = load_file(path).get("action")
    except FileNotFoundError:
        return None
    except ValueError:
        return ""
    return action if isinstance(action, str) else ""


def end_of(path: Path) -> dict[str, Any]:
    """Parse ended.json: by whom, when it was first requested, and when it had ended, in Unix seconds; all optional.

    Raises FileNotFoundError, ValueError.
    """
    fields = load_file(path)
    found: dict[str, Any] = {}
    if "by" in fields:
        if fields["by"] not in _BY:
            raise ValueError(f"ended.json: by is not one of {', '.join(_BY)}")
        found["by"] = fields["by"]
    found |= {name: _TIME(fields[name]) for name in ("asked", "at") if name in fields}
    return found
