"""Pauses one process of a real run, or one thread of the controller, at a named call until it may continue. Imported at
the start of every Python.

A plan beside the interpreter (`tests.faults.hooked`) says which job pauses where. Without a plan nothing is changed,
except that a machine finds none of Prefect's collections, like a machine with only node/requirements.lock.
Standard library only: the module is in the site-packages of its own environment.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

PLANS = Path(sys.prefix) / "plans"
CALLS = "calls.json"  #: file with the calls at which the controller's process may pause
CONTROLLER = "spotwave.deployments.controller"
LONGEST_S = 600.0
CONTROLLERS_OWN = frozenset({"prefect_aws", "prefect_azure", "prefect_docker", "prefect_gcp", "prefect_redis"})


def job_and_attempt() -> tuple[str, int] | None:
    """Return (job key, attempt) of the machine that this process belongs to; attempt 0 for the controller's run."""
    if remote := os.environ.get("SPOTWAVE_REMOTE"):
        return remote.rpartition("/")[2], int(os.environ.get("SPOTWAVE_ATTEMPT", "0"))
    if work := os.environ.get("SPOTWAVE_WORK"):  # a solver inherits little more
        try:
            brief = json.loads(Path(work, "brief.json").read_text())
        except (OSError, ValueError):
            return None
        return brief["job_key"], brief["attempt"]
    if run := os.environ.get("PREFECT__FLOW_RUN_ID"):
        return _key_of(UUID(run)), 0
    return None


def _key_of(flow_run_id: UUID) -> str:
    return f"sw-{sha256(flow_run_id.bytes).hexdigest()[:12]}"


def key_of_thread() -> str:
    """Return the key of the job that the current thread of the controller executes; empty outside a job."""
    context = sys.modules["prefect.context"].FlowRunContext.get()
    return _key_of(context.flow_run.id) if context is not None and context.flow_run is not None else ""


def install() -> None:
    """Apply this process's plan, if there is one."""
    if CONTROLLER in sys.orig_argv:  # it executes many jobs, whose plans are made later
        calls = json.loads((PLANS / CALLS).read_text())
        sys.meta_path[:0] = [_Hook(_plan_of_thread(call), call) for call in calls]
        return
    me = job_and_attempt()
    if me is None:
        return
    if me[1]:
        sys.meta_path.insert(0, _NotInstalled())
    try:
        plan = json.loads((PLANS / f"{me[0]}.json").read_text())
    except (FileNotFoundError, ValueError):
        return
    if me[1] and plan["clock"]:
        _with_another_clock(plan["clock"], plan["clock_library"])
    if plan["attempt"] == me[1] and plan["call"]:
        sys.meta_path.insert(0, _Hook(lambda: (me[0], plan), plan["call"]))


def _plan_of_thread(call: str) -> Callable[[], tuple[str, dict[str, Any]] | None]:
    def find() -> tuple[str, dict[str, Any]] | None:
        key = key_of_thread()
        try:
            plan = json.loads((PLANS / f"{key}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return (key, plan) if plan["call"] == call and plan["attempt"] == 0 else None

    return find


def _with_another_clock(ahead_s: int, library: str) -> None:
    """Restart this process with a clock that is `ahead_s` seconds ahead, also for its child processes."""
    if library in os.environ.get("LD_PRELOAD", ""):
        return
    os.environ |= {"LD_PRELOAD": library, "CLOCK_AHEAD": str(ahead_s)}
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class _NotInstalled:
    """Hides Prefect's collections; loading them takes a worker a second of CPU."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> None:
        if name in CONTROLLERS_OWN:
            raise ModuleNotFoundError(f"No module named {name!r} on a machine", name=name)


class _Hook:
    """Wraps one call of a module on import: 'package.module:Class.method'. plan: finds (job key, plan) at the call."""

    def __init__(self, plan: Callable[[], tuple[str, dict[str, Any]] | None], call: str) -> None:
        self._plan = plan
        self._module, _, self._path = call.partition(":")

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next((found for one in others if (found := one.find_spec(name, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            load = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                self._wrap(module)

            loader.exec_module = exec_module
        return spec

    def _wrap(self, module: Any) -> None:
        *owners, name = self._path.split(".")
        owner = functools.reduce(getattr, owners, module)
        call: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(call)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = self._plan()
            if found is None:
                return call(*args, **kwargs)
            key, plan = found
            if plan["when"] == "before":
                _wait(key, plan["dies"])
                return call(*args, **kwargs)
            result = call(*args, **kwargs)
            _wait(key, plan["dies"])
            return result

        setattr(owner, name, wrapped)


def _wait(job_key: str, dies: str) -> None:
    """Pause once per job: a process that replaces this one continues."""
    stem = PLANS / job_key
    try:
        stem.with_suffix(".hit").touch(exist_ok=False)
    except FileExistsError:
        return
    limit = time.monotonic() + LONGEST_S
    while not stem.with_suffix(".go").exists() and time.monotonic() < limit:
        time.sleep(0.02)  # the processes communicate by files only
    if dies:
        _die(dies)


def _die(how: str) -> None:
    """End as the plan says: 'abort:<last line>', like a C++ exception, or 'raise:<module>:<exception>:<message>'."""
    way, _, rest = how.partition(":")
    if way == "abort":
        os.write(2, f"{rest}\n".encode())
        os.abort()
    module, name, message = rest.split(":", 2)
    raise getattr(importlib.import_module(module), name)(message)


install()
