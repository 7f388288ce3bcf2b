"""Errors of the bundled CI programs that are caused by the memory limit."""

from __future__ import annotations

import errno

import pytest

from spotwave.node.jobs.shci.programs.memory_limit import is_for_lack_of_memory


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (MemoryError(), True),
        (RuntimeError("Resource temporarily unavailable"), True),  # std::thread, seen when its stack did not fit
        (RuntimeError("can't start new thread"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("wfn is empty"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
    ],
)
def test_errors_caused_by_lack_of_memory_are_recognised(error: Exception, is_so: bool) -> None:
    assert is_for_lack_of_memory(error) is is_so
