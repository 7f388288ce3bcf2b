"""Step: check everything that can be checked before money is spent."""

from __future__ import annotations

import re

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.gpus import unknown
from spotwave.blocks.user_data import too_long
from spotwave.tasks.load_blocks import (
    NoSuchBlock,
    load_access,
    load_budget,
    load_cloud,
    load_remote,
    load_store,
)
from spotwave.tasks.records import Job
from spotwave.tasks.results.continue_from import continuable

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


@task(name="check_job")
def check_job(job: Job, executables: list[str]) -> str | None:
    """Return one line that names the parameter and the remedy, or None if the job is valid.

    The problem is returned, not raised: a user's typo needs no stack trace in the log. `executables` are the programs
    that must be on the machine's image.
    """
    problem = _limits(job) or _documents(job, executables)
    if problem is None:
        get_run_logger().info("clouds, remote, Prefect access and limits are valid")
    return problem


def _limits(job: Job) -> str | None:
    """Return the first parameter that is out of range, named as in the flows."""
    work_core_h = 1.0 if job.work_core_h is None else job.work_core_h
    ranges = (
        ("sync_minutes", job.sync_s / 60, 0.05, 1440, "minutes; 5 is usual"),
        ("silence_minutes", job.silence_s / 60, 0.2, 1440, "minutes; 2 is usual"),
        ("max_hours", job.max_hours, 0.02, 8760, "hours"),
        ("work_core_h", work_core_h, 1e-6, 1e9, "core-hours, or leave it empty"),
        ("max_attempts", job.max_attempts, 1, 100, "machines; 5 is usual"),
        ("wait_hours", 0.0 if job.wait_hours is None else job.wait_hours, 0, 8760, "hours, or leave it empty"),
        ("max_usd", 0.0 if job.max_usd is None else job.max_usd, 0, 1e9, "USD, or leave it empty"),
    )
    for name, value, low, high, unit in ranges:
        if not low <= value <= high:  # also true for NaN
            return f"{name}: {value:g} is out of range. Give {low:g} to {high:g} {unit}."
    if job.requirements.gpu is not None and (problem := unknown(job.requirements.gpu)) is not None:
        return f"requirements.gpu: {problem}"
    if not _PROJECT.fullmatch(job.project):
        return f"project: {job.project[:60]!r} is not a valid name. Use up to 60 letters, digits, '.', '_' or '-'."
    if job.continue_job is not None and not continuable(job.continue_job):
        return f"continue_job: {job.continue_job[:60]!r} is not a valid job key. Give one such as sw-0123456789ab."
    return None


def _documents(job: Job, executables: list[str]) -> str | None:
    """Return the first problem of a block, or of a program that is on no image."""
    if not job.clouds:
        return "clouds: none is named. Give at least one Cloud block, e.g. ['local-cloud/here']."
    try:
        clouds: list[Cloud] = [load_cloud(name) for name in job.clouds]
        here = all(cloud.is_local for cloud in clouds)
        if (problem := load_access(job.access).problem(here)) is not None:
            return problem
        load_store(job.store)
        if job.budget is not None and (budget_project := load_budget(job.budget).project) not in ("", job.project):
            return (
                f"project: '{job.project}' does not match '{job.budget}', which is for '{budget_project}'. Name that "
                "project, or another Budget block."
            )
        remote = load_remote(job.remote)
        if remote.is_folder and not here:
            return (
                f"remote: '{job.remote}' is a folder on this computer, which machines in a cloud cannot reach. Name an "
                "Rclone Remote block with a remote that they can reach, e.g. 's3:bucket/spotwave'."
            )
        long = (too_long(cloud.kind, remote.root(job.key)) for cloud in clouds)
        if (problem := next(filter(None, long), None)) is not None:
            return problem
        remote.check_writable()
    except (NoSuchBlock, ValueError) as error:
        return str(error)
    kinds: dict[str, str] = {}
    for name, cloud in zip(job.clouds, clouds, strict=True):
        if cloud.kind in kinds:
            return f"clouds: '{kinds[cloud.kind]}' and '{name}' are both of kind {cloud.kind}. Name one of them."
        kinds[cloud.kind] = name
    for executable in executables:
        lacking = [reason for cloud in clouds if (reason := cloud.lacks_program(executable)) is not None]
        if len(lacking) == len(clouds):
            return f"program: {lacking[0]}"
    return None
