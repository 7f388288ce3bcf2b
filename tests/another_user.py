"""Run code as another user of this computer; only root can do that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534
NAMELESS = 54_321  #: no entry in passwd

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_user(work: Callable[[], Any], number: int = NOBODY) -> Any:
    """Run `work` as another user and return its result, passed as JSON.

    It runs in a forked child, because that user may have no access to the developer's Python. So it must not import
    anything.
    """
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
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the code that ran as another user failed"
    return json.loads(output)
