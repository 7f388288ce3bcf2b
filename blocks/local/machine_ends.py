"""Who ended a local machine, and when: what its folder and this computer's clock tell."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from spotwave.blocks.local.locks import locked
from spotwave.blocks.local.machine_notes import (
    ENDED_FILE,
    LAST_ACT_FILE,
    NOTICE_FILE,
    ROOT_FILE,
    end_of,
    notice_of,
    root_of,
)
from spotwave.blocks.local.processes import SAME_START_S
from spotwave.blocks.models import MachineState
from spotwave.node.contract import SHUTDOWN, write_text


def noted(place: Path) -> dict[str, Any]:
    """What ended.json tells; nothing if it is not there, or not what we wrote."""
    try:
        return end_of(place / ENDED_FILE)
    except (FileNotFoundError, ValueError):
        return {}


def note(place: Path, fields: dict[str, Any]) -> None:
    """Add to ended.json; the cloud, the controller and who looks may do so at once. Raises OSError."""
    with locked(place):
        write_text(place / ENDED_FILE, json.dumps({**noted(place), **fields}))


def own_end(place: Path) -> float:
    """When a machine has ended whose end nobody saw: by its own last act, else when it was last told to end (who told
    it was killed in the midst of that), else now. Unix seconds."""
    now = time.time()
    with suppress(FileNotFoundError):  # of an earlier version
        last_act = (place / LAST_ACT_FILE).stat()
        if last_act.st_size > 1:
            return min(now, last_act.st_mtime)
    return min(now, float(noted(place).get("asked", now)))


def taken(place: Path, by: str | None) -> MachineState | None:
    """Why a machine that has ended did so, where that was neither its own doing nor ours. by: whom, as is noted."""
    action = notice_of(place / NOTICE_FILE)
    if by == "host" or (by != "cloud" and action == SHUTDOWN):
        return MachineState.HOST_DOWN
    if by == "cloud" or action is not None:
        return MachineState.INTERRUPTED
    return MachineState.HOST_DOWN if _outlived(place) else None


def _outlived(place: Path) -> bool:
    """Whether this computer has been started anew since the machine, which had not ended by then."""
    try:
        _, started = root_of(place / ROOT_FILE)
    except (FileNotFoundError, ValueError):
        return False
    booted = psutil.boot_time()
    return started < booted - SAME_START_S and bool(noted(place).get("at", booted) >= booted)
