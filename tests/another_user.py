"""What another user of this computer sees: as root alone, for nobody else may become one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534
NAMELESS = 54_321  #: no entry in passwd

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def as_user(work: Callable[[], Any], number: int = NOBODY) -> Any:
    """What `work` tells, as JSON, when another user runs it: in a child of ours, for the Python of a developer may lie
    in his own closed folder. It may not import anything."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
            os.chdir("/")
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "what another user did there ended with an error"
    return json.loads(told)
