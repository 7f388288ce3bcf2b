"""Step: take over the checkpoint of an earlier job, so that it is continued with other limits."""

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
MOST = 50  # jobs in a chain
GENERATION = "000-00001"  # before all that the new job's attempts will seal: they are numbered from 001


class NotContinued(RuntimeError):
    """The remote did not give the checkpoint; another try may."""


class CannotContinue(ValueError):
    """The job to continue is not there, still runs, or was another calculation; a line for the user."""


class Continuation(BaseModel):
    """What a job begins with."""

    model_config = ConfigDict(frozen=True)

    generation: str | None = None  #: the earlier job's checkpoint; None: a fresh start
    spent_usd: float = 0.0  #: by the earlier job, and by those that it continued
    problem: str | None = None  #: why it cannot begin so; a line for the user


class Earlier(BaseModel):
    """One job of a chain of which each continues the next."""

    model_config = ConfigDict(frozen=True)

    key: str
    node: str  #: deployment of its node flow
    parameters: dict[str, Any]  #: of its node flow, as its version wrote them


class EarlierJobs(BaseModel):
    """The job to continue, and those that it continued in its turn."""

    model_config = ConfigDict(frozen=True)

    jobs: list[Earlier] = []
    problem: str | None = None  #: why there is none to continue; a line for the user


def continuable(key: str) -> bool:
    """Whether it has the form of a job key."""
    return KEY.fullmatch(key) is not None


@task(name="read_earlier", retries=2, retry_delay_seconds=[2, 10], persist_result=True, cache_policy=ONCE)
def read_earlier(job: Job, earlier: str) -> EarlierJobs:
    """What the remote holds of the job `earlier`, and of those before it. Raises NotContinued."""
    try:
        with load_remote(job.remote).opened() as remote:
            return EarlierJobs(jobs=_chain(job, remote, earlier))
    except CannotContinue as error:
        return EarlierJobs(problem=str(error))
    except RemoteError as error:
        raise NotContinued(f"continue_job: {earlier} could not be read: {error}") from error


@task(name="continue_from", retries=2, retry_delay_seconds=[2, 10], persist_result=True, cache_policy=ONCE)
def continue_from(job: Job, chain: EarlierJobs) -> Continuation:
    """Copy the newest verified checkpoint of the first job of `chain` into this one's folder, on the same remote, by
    the remote itself where it can. Nothing is overwritten, and nothing of the earlier job is touched.

    What is wrong with the job to continue is returned, not raised. Raises NotContinued.
    """
    earlier = chain.jobs[0].key
    try:
        with load_remote(job.remote).opened() as remote:
            spent = _spent(job, [one.key for one in chain.jobs])
            generation = _copied(remote, earlier, job.key)
    except (CannotContinue, StoreUnavailable) as error:
        return Continuation(problem=str(error))
    except RemoteError as error:
        raise NotContinued(f"continue_job: the checkpoint of {earlier} could not be taken over: {error}") from error
    get_run_logger().info("goes on from checkpoint %s of %s, which has cost %.4g USD", generation, earlier, spent)
    return Continuation(generation=generation, spent_usd=spent)


def _chain(job: Job, remote: Remote, earlier: str) -> list[Earlier]:
    """The earlier job, and those that it continued in its turn."""
    found: list[Earlier] = []
    key: str | None = earlier
    while key is not None:
        if not KEY.fullmatch(key) or key == job.key or key in {one.key for one in found} or len(found) >= MOST:
            raise CannotContinue(
                f"continue_job: '{key}' is no job to continue. Give the key of an earlier one (sw-...)."
            )
        asked = _read(remote, f"{key}/{JOB_FILE}", key)
        if asked is None:
            raise CannotContinue(
                f"continue_job: there is no job {key} on {job.remote}. Name the remote that it ran on."
            )
        try:
            told: dict[str, Any] = load_object(asked)["job"]
            one = Earlier(key=key, node=told["node"], parameters=told["parameters"])
            before = told.get("continue_job")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CannotContinue(f"continue_job: what the remote holds of {key} is no job. Start afresh.") from error
        found.append(one)
        key = None if before is None else str(before)
    return found


def _spent(job: Job, chain: list[str]) -> float:
    """Raises CannotContinue while a machine of theirs may be running, StoreUnavailable."""
    entries = [entry for entry in ledger.read(load_store(job.store)) if entry.job in chain]
    for entry in entries:
        if entry.state == "reserved" and entry.until > api.now():
            raise CannotContinue(
                f"continue_job: {entry.job} may still have a machine, until {entry.until:%Y-%m-%d %H:%M} UTC. "
                "Cancel it, or wait for its end."
            )
    return sum(entry.usd for entry in entries)


def _copied(remote: Remote, earlier: str, key: str) -> str | None:
    """The generation that was copied. Compared on the remote before LATEST names it, as an agent's own push is."""
    its = Remote(remote.binary, remote.config, remote.at(earlier), call_s=remote.call_s, transfer_s=remote.transfer_s)
    ours = Remote(remote.binary, remote.config, remote.at(key), call_s=remote.call_s, transfer_s=remote.transfer_s)
    if (newest := _latest(its)) is None:
        return None
    if _latest(ours) is not None:  # copied before, by a start of this run that died
        return newest
    there = f"{CHECKPOINT_DIR}/{newest}"
    told = _read(its, f"{there}/{MANIFEST_FILE}", earlier)
    if told is None:
        raise CannotContinue(f"continue_job: checkpoint {newest} of {earlier} has no manifest. Start afresh.")
    try:
        manifest = Manifest.from_json(told)
    except CheckpointCorrupt as error:
        raise CannotContinue(f"continue_job: checkpoint {newest} of {earlier}: {error}. Start afresh.") from error
    here = f"{CHECKPOINT_DIR}/{GENERATION}"
    remote.copy(f"{earlier}/{there}", f"{key}/{here}", list(manifest.files))
    remote.same(f"{earlier}/{there}", f"{key}/{here}", list(manifest.files))
    sizes = {entry.path: entry.size for entry in ours.list(here, recursive=True)}
    # A file that neither has is no difference to rclone.
    if lacking := [name for name, mark in manifest.files.items() if sizes.get(name) != mark.size]:
        raise CannotContinue(
            f"continue_job: checkpoint {newest} of {earlier} is not whole ({lacking[0]}). Start afresh."
        )
    renamed = Manifest(GENERATION, manifest.made_at, manifest.step, manifest.facts, manifest.files)
    ours.write(f"{here}/{MANIFEST_FILE}", renamed.to_json().encode())
    ours.write(LATEST_FILE, f"{GENERATION}\n".encode())
    return newest


def _read(remote: Remote, rel: str, key: str) -> bytes | None:
    """Raises CannotContinue for what is longer than any that we write, RemoteError."""
    try:
        return remote.read(rel, MANIFEST_BYTES)
    except RemoteTooLong as error:
        raise CannotContinue(
            f"continue_job: what the remote holds of {key} is no job ({error}). Start afresh."
        ) from error


def _latest(remote: Remote) -> str | None:
    told = (remote.read(LATEST_FILE) or b"").decode(errors="replace").strip()
    return told if _GENERATION.fullmatch(told) else None
