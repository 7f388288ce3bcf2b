"""Final states of a node run that ends without a result, for all kinds of jobs.

the agent requested the stop                    Crashed("Interrupted"); the agent has the reason
an error of the calculation (`mistakes`)        Failed; another machine would fail too
out of memory, full disk                        Crashed; the next machine has more
a program that crashed, a broken disk           Crashed; the next machine tries again
the Prefect API was unreachable for too long    Crashed; the next machine may reach it
any other exception (a bug in Spotwave)         raised, so that Prefect logs it; another machine would fail too
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

# Errors of a broken disk; another machine's disk may work.
_BROKEN_DISK = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO)
_STATES = {Cause.MEMORY: "OutOfMemory", Cause.DISK: "DiskFull", Cause.PROGRAM: "Died"}


def _interrupted(workspace: Workspace, error: BaseException, expected: Kinds) -> State[Any] | None:
    """Return Crashed("Interrupted") if the agent requested the stop, else None.

    None means that `error` is a genuine error or a signal from Prefect, which cancels the run. The agent's request
    counts, not the type of the error: a signal can interrupt a library, which then raises an error of its own.
    expected: exceptions that a stop usually causes.
    """
    stop = workspace.stop_asked()
    if stop is None:
        return None
    if not isinstance(error, expected):
        get_run_logger().info("the stop signal surfaced as %r", error)
    workspace.save_at_stop()
    return Crashed(name="Interrupted", message=stop.reason)


def cut_short(workspace: Workspace, error: BaseException, expected: Kinds, mistakes: Kinds) -> State[Any] | None:
    """Report the ending to the agent. Return the run's final state, or None if `error` must be re-raised.

    expected: exceptions that a stop usually causes. mistakes: exceptions that are the calculation's own fault.
    """
    if (state := _interrupted(workspace, error, expected)) is not None:
        return state
    if not isinstance(error, Exception):
        return None  # a signal from Prefect, which cancels the run
    cause = _cause(error)
    if cause is not None:
        return _machine_at_fault(workspace, error, cause)
    if isinstance(error, mistakes):
        get_run_logger().error(str(error))
        workspace.end(Ending.FAILED, str(error))
        return Failed(message=str(error))
    if isinstance(error, httpx.HTTPError | PrefectException):
        reason = f"the run could not reach the Prefect API: {_last_line(error)}"
        workspace.end(Ending.LOST, reason)
        return Crashed(name="Unheard", message=reason)
    workspace.end(Ending.FAILED, f"{_last_line(error)} (unexpected error; the traceback is in the log of this attempt)")
    return None


def _machine_at_fault(workspace: Workspace, error: Exception, cause: Cause) -> State[Any]:
    get_run_logger().error("%s", error, exc_info=None if isinstance(error, ProgramFailed) else error)
    if cause is Cause.DISK:
        workspace.make_room()  # for the outcome file
    signal = exit_status = None  # known only if a program ended
    if isinstance(error, ProgramFailed):
        reason, signal, exit_status = error.summary, error.signal, error.exit_status
    else:
        prefix = {Cause.MEMORY: "out of memory: ", Cause.DISK: "the disk is full: ", Cause.PROGRAM: ""}[cause]
        reason = prefix + _last_line(error)
    workspace.end(Ending.LOST, reason, cause=cause, signal=signal, exit_status=exit_status)
    return Crashed(name=_STATES[cause], message=reason)


def _cause(error: Exception) -> Cause | None:
    """Return the cause if another machine may succeed, else None."""
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
    """Return the last line of the error's traceback."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return plain(f"{name}: {error}" if str(error) else name)
