"""How a node run ends that has no result: the same for every kind of job.

the agent asked for it                          Crashed("Interrupted"); the agent knows why
what the calculation cannot do (`mistakes`)     Failed; another machine would fail too
too little memory, a full disk                  Crashed; the next machine has more
a program that died of itself, a broken disk    Crashed; the next machine tries once more
Prefect's API was away for too long             Crashed; the next machine may reach it
any other exception: a fault of ours            raised, so that Prefect logs it; another machine would fail too
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import httpx
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.states import Crashed, Failed

from spotwave.node.outcome import Cause, Ending
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.shortage import lacking
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.untrusted.plain_text import plain

Kinds = tuple[type[BaseException], ...]

# What a disk says that does not do its work (the machine's; another one's may).
_BROKEN_DISK = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO)
_STATES = {Cause.MEMORY: "OutOfMemory", Cause.DISK: "DiskFull", Cause.PROGRAM: "Died"}


def _interrupted(workspace: Workspace, error: BaseException, expected: Kinds) -> State[Any] | None:
    """Crashed("Interrupted") if the agent wants the work to end, else None: then `error` is a fault of its own, or a
    signal from Prefect, which cancels.

    expected: what a stop comes out as. Whatever the error says, the agent's word counts: a signal may strike a library
    in the midst of a file, and come out as its own.
    """
    stop = workspace.stop_asked()
    if stop is None:
        return None
    if not isinstance(error, expected):
        get_run_logger().info("the signal to stop came out as %r", error)
    workspace.save_at_stop()
    return Crashed(name="Interrupted", message=stop.reason)


def cut_short(workspace: Workspace, error: BaseException, expected: Kinds, mistakes: Kinds) -> State[Any] | None:
    """Tell the agent how it ended, and the state to end in. None: `error` is to be raised on.

    expected: what a stop comes out as. mistakes: what is the calculation's own fault.
    """
    if (state := _interrupted(workspace, error, expected)) is not None:
        return state
    if not isinstance(error, Exception):
        return None  # a signal from Prefect, which cancels
    cause = _cause(error)
    if cause is not None:
        return _machine_at_fault(workspace, error, cause)
    if isinstance(error, mistakes):
        get_run_logger().error(str(error))
        workspace.end(Ending.FAILED, str(error))
        return Failed(message=str(error))
    if isinstance(error, httpx.HTTPError | PrefectException):
        reason = f"the run could not speak to Prefect: {_last_line(error)}"
        workspace.end(Ending.LOST, reason)
        return Crashed(name="Unheard", message=reason)
    workspace.end(
        Ending.FAILED, f"{_last_line(error)} (nobody foresaw that; the traceback is in the log of this attempt)"
    )
    return None


def _machine_at_fault(workspace: Workspace, error: Exception, cause: Cause) -> State[Any]:
    get_run_logger().error("%s", error, exc_info=None if isinstance(error, ProgramFailed) else error)
    if cause is Cause.DISK:
        workspace.make_room()  # for the note that says so
    signal = exit_status = None  # of a process of its own
    if isinstance(error, ProgramFailed):
        reason, signal, exit_status = error.summary, error.signal, error.exit_status
    else:
        words = {Cause.MEMORY: "out of memory: ", Cause.DISK: "the disk is full: ", Cause.PROGRAM: ""}[cause]
        reason = words + _last_line(error)
    workspace.end(Ending.LOST, reason, cause=cause, signal=signal, exit_status=exit_status)
    return Crashed(name=_STATES[cause], message=reason)


def _cause(error: Exception) -> Cause | None:
    """Why another machine may do better; None if it would not."""
    if isinstance(error, ProgramFailed):
        return error.cause
    if (short := lacking(error)) is not None:
        return short
    broken = any(isinstance(one, OSError) and one.errno in _BROKEN_DISK for one in _chain(error))
    return Cause.PROGRAM if broken else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(10):
        if one is None:
            return
        yield one
        one = one.__cause__


def _last_line(error: BaseException) -> str:
    """As the last line of its traceback."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return plain(f"{name}: {error}" if str(error) else name)
