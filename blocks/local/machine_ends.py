"""Cause and time of a local machine's end, from its folder and this computer's boot time."""

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
    """Return the content of ended.json; {} if it is missing or invalid."""
    try:
        return end_of(place / ENDED_FILE)
    except (FileNotFoundError, ValueError):
        return {}


def note(place: Path, fields: dict[str, Any]) -> None:
    """Add to ended.json under the machine's lock, since several processes may write at once. Raises OSError."""
    with locked(place):
        write_text(place / ENDED_FILE, json.dumps({**noted(place), **fields}))


def own_end(place: Path) -> float:
    """Return the Unix time of an end that was not observed: of the machine's last act, else of the last request to end
    it (whose process was killed meanwhile), else now."""
    now = time.time()
    with suppress(FileNotFoundError):  # machine of an earlier version
        last_act = (place / LAST_ACT_FILE).stat()
        if last_act.st_size > 1:
            return min(now, last_act.st_mtime)
    return min(now, float(noted(place).get("asked", now)))


def taken(place: Path, by: str | None) -> MachineState | None:
    """Return why a machine was ended from outside, None if it or Spotwave ended it. by: as noted in ended.json."""
    action = notice_of(place / NOTICE_FILE)
    if by == "host" or (by != "cloud" and action == SHUTDOWN):
        return MachineState.HOST_DOWN
    if by == "cloud" or action is not None:
        return MachineState.INTERRUPTED
    return MachineState.HOST_DOWN if _rebooted_since(place) else None


def _rebooted_since(place: Path) -> bool:
    """Whether this computer was rebooted after the machine's start and before its noted end."""
    try:
        _, started = root_of(place / ROOT_FILE)
    except (FileNotFoundError, ValueError):
        return False
    booted = psutil.boot_time()
    return started < booted - SAME_START_S and bool(noted(place).get("at", booted) >= booted)
