"""Step: copy the checkpoint of an earlier job, so that it is continued with other limits."""

from __future__ import annotations

import re
from typing import Any

from prefect import task
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from spotwave.blocks.snapshots import StoreUnavailable
from spotwave.node.contract import CHECKPOINT_DIR, JOB_FILE, LATEST_FILE, MANIFEST_FILE
from spotwave.node.contract import GENERATION as NAME
from spotwave.node.storage.manifest import MANIFEST_BYTES, CheckpointCorrupt, Manifest
from spotwave.node.storage.remote import Remote, RemoteError, RemoteTooLong
from spotwave.node.untrusted.strict_json import load_object
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost import ledger
from spotwave.tasks.load_blocks import load_remote, load_store
from spotwave.tasks.records import Job

KEY = re.compile(r"sw-[0-9a-f]{12}")
_GENERATION = re.compile(NAME)
MOST = 50  # maximum length of a chain of jobs
GENERATION = "000-00001"  # sorts before the generations of the new job's attempts, which are numbered from 001


class NotContinued(RuntimeError):
    """The checkpoint could not be read from the remote; a retry may succeed."""


class CannotContinue(ValueError):
    """The job to continue is missing, still running, or a different calculation; the message is a line for the user."""


class Continuation(BaseModel):
    """What a job starts from."""

    model_config = ConfigDict(frozen=True)

    generation: str | None = None  #: the earlier job's checkpoint; None: a fresh start
    spent_usd: float = 0.0  #: spent by the earlier job, and by those that it continued
    problem: str | None = None  #: why the job cannot be continued; a line for the user


class Earlier(BaseModel):
    """One job of a chain in which each job continues the next one."""

    model_config = ConfigDict(frozen=True)

    key: str
    node: str  #: deployment of its node flow
    parameters: dict[str, Any]  #: parameters of its node flow, as its version wrote them


class EarlierJobs(BaseModel):
    """The job to continue, and the jobs that it continued in turn."""

    model_config = ConfigDict(frozen=True)

    jobs: list[Earlier] = []
    problem: str | None = None  #: why it cannot be continued; a line for the user


def continuable(key: str) -> bool:
    """Whether the text has the form of a job key."""
    return KEY.fullmatch(key) is not None


@task(name="read_earlier", retries=2, retry_delay_seconds=[2, 10], persist_result=True, cache_policy=ONCE)
def read_earlier(job: Job, earlier: str) -> EarlierJobs:
    """Read the job `earlier` and its predecessors from the remote. Raises NotContinued."""
    try:
        with load_remote(job.remote).opened() as remote:
            return EarlierJobs(jobs=_chain(job, remote, earlier))
    except CannotContinue as error:
        return EarlierJobs(problem=str(error))
    except RemoteError as error:
        raise NotContinued(f"continue_job: {earlier} could not be read: {error}") from error


@task(name="continue_from", retries=2, retry_delay_seconds=[2, 10], persist_result=True, cache_policy=ONCE)
def continue_from(job: Job, chain: EarlierJobs) -> Continuation:
    """Copy the newest verified checkpoint of the first job of `chain` into this job's folder on the same remote, on the
    server side if the remote supports it. Nothing is overwritten, and the earlier job is not changed.

    A problem of the job to continue is returned, not raised. Raises NotContinued.
    """
    earlier = chain.jobs[0].key
    try:
        with load_remote(job.remote).opened() as remote:
            spent = _spent(job, [one.key for one in chain.jobs])
            generation = _copied(remote, earlier, job.key)
    except (CannotContinue, StoreUnavailable) as error:
        return Continuation(problem=str(error))
    except RemoteError as error:
        raise NotContinued(f"continue_job: the checkpoint of {earlier} could not be copied: {error}") from error
    get_run_logger().info("continues from checkpoint %s of %s, which has cost %.4g USD", generation, earlier, spent)
    return Continuation(generation=generation, spent_usd=spent)


def _chain(job: Job, remote: Remote, earlier: str) -> list[Earlier]:
    """Return the earlier job, and the jobs that it continued in turn."""
    found: list[Earlier] = []
    key: str | None = earlier
    while key is not None:
        if not KEY.fullmatch(key) or key == job.key or key in {one.key for one in found} or len(found) >= MOST:
            raise CannotContinue(
                f"continue_job: '{key}' is not a job that can be continued. Give the key of an earlier job (sw-...)."
            )
        asked = _read(remote, f"{key}/{JOB_FILE}", key)
        if asked is None:
            raise CannotContinue(
                f"continue_job: there is no job {key} on {job.remote}. Name the remote that it ran on."
            )
        try:
            content: dict[str, Any] = load_object(asked)["job"]
            one = Earlier(key=key, node=content["node"], parameters=content["parameters"])
            before = content.get("continue_job")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CannotContinue(
                f"continue_job: the remote has no valid job file of {key}. Start without continue_job."
            ) from error
        found.append(one)
        key = None if before is None else str(before)
    return found


def _spent(job: Job, chain: list[str]) -> float:
    """Return what the chain has spent. Raises CannotContinue while one of its machines may run, StoreUnavailable."""
    entries = [entry for entry in ledger.read(load_store(job.store)) if entry.job in chain]
    for entry in entries:
        if entry.state == "reserved" and entry.until > api.now():
            raise CannotContinue(
                f"continue_job: {entry.job} may still have a machine, until {entry.until:%Y-%m-%d %H:%M} UTC. "
                "Cancel it, or wait for its end."
            )
    return sum(entry.usd for entry in entries)


def _copied(remote: Remote, earlier: str, key: str) -> str | None:
    """Copy the newest generation; return it. Verified on the remote before LATEST names it, as in an agent's push."""
    source = Remote(
        remote.binary, remote.config, remote.at(earlier), call_s=remote.call_s, transfer_s=remote.transfer_s
    )
    target = Remote(remote.binary, remote.config, remote.at(key), call_s=remote.call_s, transfer_s=remote.transfer_s)
    if (newest := _latest(source)) is None:
        return None
    if _latest(target) is not None:  # copied by an earlier start of this run
        return newest
    there = f"{CHECKPOINT_DIR}/{newest}"
    content = _read(source, f"{there}/{MANIFEST_FILE}", earlier)
    if content is None:
        raise CannotContinue(
            f"continue_job: checkpoint {newest} of {earlier} has no manifest. Start without continue_job."
        )
    try:
        manifest = Manifest.from_json(content)
    except CheckpointCorrupt as error:
        raise CannotContinue(
            f"continue_job: checkpoint {newest} of {earlier}: {error}. Start without continue_job."
        ) from error
    here = f"{CHECKPOINT_DIR}/{GENERATION}"
    remote.copy(f"{earlier}/{there}", f"{key}/{here}", list(manifest.files))
    remote.same(f"{earlier}/{there}", f"{key}/{here}", list(manifest.files))
    sizes = {entry.path: entry.size for entry in target.list(here, recursive=True)}
    # rclone reports no difference for a file that is missing on both sides.
    if lacking := [name for name, mark in manifest.files.items() if sizes.get(name) != mark.size]:
        raise CannotContinue(
            f"continue_job: checkpoint {newest} of {earlier} is incomplete ({lacking[0]}). Start without continue_job."
        )
    renamed = Manifest(GENERATION, manifest.made_at, manifest.step, manifest.facts, manifest.files)
    target.write(f"{here}/{MANIFEST_FILE}", renamed.to_json().encode())
    target.write(LATEST_FILE, f"{GENERATION}\n".encode())
    return newest


def _read(remote: Remote, rel: str, key: str) -> bytes | None:
    """Read a file. Raises CannotContinue if it is longer than Spotwave's files can be, RemoteError."""
    try:
        return remote.read(rel, MANIFEST_BYTES)
    except RemoteTooLong as error:
        raise CannotContinue(
            f"continue_job: the remote has no valid job file of {key} ({error}). Start without continue_job."
        ) from error


def _latest(remote: Remote) -> str | None:
    generation = (remote.read(LATEST_FILE) or b"").decode(errors="replace").strip()
    return generation if _GENERATION.fullmatch(generation) else None
