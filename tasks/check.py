"""Step: everything that can be known to be wrong before money is spent."""

from __future__ import annotations

from prefect import task
from prefect.logging import get_run_logger

from blocks.cloud import Cloud
from tasks.documents import NoSuchBlock, load_access, load_cloud, load_remote, load_store
from tasks.job import Job


@task(name="check_job")
def check_job(job: Job, executables: list[str]) -> str | None:
    """One clear line that names the parameter and the remedy, or None.

    Told, not raised: what a user mistyped needs no stack trace in the log. `executables` are the programs that
    must stand on the machine's image.
    """
    problem = _limits(job) or _documents(job, executables)
    if problem is None:
        get_run_logger().info("clouds, remote, Prefect access and limits are in order")
    return problem


def _limits(job: Job) -> str | None:
    """Out of range? Named as the flows name their parameters."""
    work_core_h = 1.0 if job.work_core_h is None else job.work_core_h
    ranges = (
        ("sync_minutes", job.sync_s / 60, 0.05, 1440, "minutes; 5 is usual"),
        ("silence_minutes", job.silence_s / 60, 0.2, 1440, "minutes; 2 is usual"),
        ("max_hours", job.max_hours, 0.02, 8760, "hours"),
        ("work_core_h", work_core_h, 1e-6, 1e9, "core-hours, or leave it empty"),
        ("max_attempts", job.max_attempts, 1, 100, "machines; 5 is usual"),
    )
    for name, value, low, high, unit in ranges:
        if not low <= value <= high:  # also true for NaN
            return f"{name}: {value:g} is out of range. Give {low:g} to {high:g} {unit}."
    return None


def _documents(job: Job, executables: list[str]) -> str | None:
    """Blocks that are missing or do not work, programs that are not on any image."""
    if not job.clouds:
        return "clouds: none is named. Give at least one Cloud block, e.g. ['local-cloud/here']."
    try:
        clouds: list[Cloud] = [load_cloud(name) for name in job.clouds]
        here = all(cloud.here for cloud in clouds)
        if (problem := load_access(job.access).problem(here)) is not None:
            return problem
        load_store(job.store)
        remote = load_remote(job.remote)
        if remote.is_folder and not here:
            return (
                f"remote: '{job.remote}' is a folder on this computer, which machines in a cloud cannot reach. Name an "
                "Rclone Remote block with a remote that they can, e.g. 's3:bucket/spotwave'."
            )
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
