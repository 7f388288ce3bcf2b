"""The notes in a local machine's folder, read as what they are: files that its own processes may have written."""

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
    """Whether it can be a machine's id, which is a folder's name."""
    return _NAME.fullmatch(id_) is not None


def machine_of(tags: str | bytes, id_: str) -> Machine | None:
    """The machine of that id that the tags tell; None for any other, or none."""
    try:
        machine = Machine.model_validate(load_object(tags))
    except (BadJson, ValidationError):
        return None
    offer = machine.offer
    own = machine.id == id_ == f"{machine.name}-{offer.instance_type}"
    return machine if own and is_name(id_) and min(offer.spot_usd_h, machine.disk_gib) >= 0 else None


def root_of(path: Path) -> tuple[int, float]:
    """root.json: (pid, start in Unix seconds) of the first process. Raises FileNotFoundError, ValueError."""
    told = load_file(path)
    return _PID(told.get("pid")), _TIME(told.get("started"))


def notice_of(path: Path) -> str | None:
    """notice.json: what will be done to the machine; "" where it does not tell, None where there is no notice."""
    try:
        action = load_file(path).get("action")
    except FileNotFoundError:
        return None
    except ValueError:
        return ""
    return action if isinstance(action, str) else ""


def end_of(path: Path) -> dict[str, Any]:
    """ended.json: by whom, when it was first asked to, and when it had, in Unix seconds; as far as it tells.

    Raises FileNotFoundError, ValueError.
    """
    told = load_file(path)
    found: dict[str, Any] = {}
    if "by" in told:
        if told["by"] not in _BY:
            raise ValueError(f"ended.json: by is not one of {', '.join(_BY)}")
        found["by"] = told["by"]
    found |= {name: _TIME(told[name]) for name in ("asked", "at") if name in told}
    return found
