"""Restart of server and worker if another installation or version started them, unless a job runs."""

from __future__ import annotations

from spotwave.blocks.file_lock import is_held
from spotwave.deployments import installation, server, worker
from spotwave.deployments.home import Home
from spotwave.deployments.processes import marked
from spotwave.deployments.report import Report
from spotwave.deployments.unavailable import Unavailable

_NAMED = 3  # maximum number of running jobs named in the message


def restart_other(home: Home, report: Report) -> None:
    """End server and worker if they run another installation's code; the caller then starts them again.

    The caller must hold the home's lock. Raises Unavailable without changing anything if a job runs.
    """
    known, ours = installation.noted(home), installation.current()
    theirs = [known.server] if server.running(home) is not None else []
    theirs += [known.worker] if worker.running(home) is not None else []
    others = [one for one in theirs if one != ours]
    if not others:
        return
    other = "an earlier version of Spotwave" if others[0] is None else str(others[0])
    if jobs := running_jobs(home):
        shown = ", ".join(jobs[:_NAMED]) + (f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else "")
        raise Unavailable(
            f"{home.path} is in use by {other}, and this is {ours}. Nothing was changed because of running jobs "
            f"({shown}). Wait until they have ended, or run `spotwave down`; then repeat this command."
        )
    worker.kill(home)
    server.stop(home)
    report(f"{other} was running; restarting with {ours}")


def running_jobs(home: Home) -> list[str]:
    """Return the keys of the jobs that a process on this computer executes, or a note on running local machines.

    A run that is only starting is not included: if it is ended now, it is resumed later.
    """
    keys = [path.stem for path in sorted(home.engines.glob("*.lock")) if is_held(path)]
    return keys or (["a local machine's"] if marked(home.path, machines=True) else [])
