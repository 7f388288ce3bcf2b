"""`up` from another installation or version than the one that runs: its processes are restarted, unless a job runs."""

from __future__ import annotations

from collections.abc import Callable

from spotwave.blocks.file_lock import is_held
from spotwave.deployments import installation, server, worker
from spotwave.deployments.home import Home
from spotwave.deployments.processes import marked
from spotwave.deployments.unavailable import Unavailable

Say = Callable[[str], None]
_NAMED = 3  # of the jobs that run: so many are named


def restart_other(home: Home, say: Say) -> None:
    """End server and worker if they run another installation's code; the caller starts them again.

    The caller holds the home's lock. Raises Unavailable, and changes nothing, if a job runs.
    """
    known, ours = installation.noted(home), installation.this()
    theirs = [known.server] if server.running(home) is not None else []
    theirs += [known.worker] if worker.running(home) is not None else []
    others = [one for one in theirs if one != ours]
    if not others:
        return
    other = "an earlier version of Spotwave" if others[0] is None else str(others[0])
    if jobs := running_jobs(home):
        shown = ", ".join(jobs[:_NAMED]) + (f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else "")
        raise Unavailable(
            f"{home.path} is in use by {other}, and this is {ours}: running jobs ({shown}) keep it. Nothing was "
            "changed. Wait until they have ended, or call `spotwave down`; then call this again."
        )
    worker.kill(home)
    server.stop(home)
    say(f"{other} was running; restarting with {ours}")


def running_jobs(home: Home) -> list[str]:
    """Keys of the jobs that a process of this computer executes, else what else works for one.

    A run that is only starting is not among them: ended now, it is taken up again.
    """
    keys = [path.stem for path in sorted(home.engines.glob("*.lock")) if is_held(path)]
    return keys or (["a local machine's"] if marked(home.path, machines=True) else [])
