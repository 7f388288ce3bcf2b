"""The reap flow: remove what no active job needs, on every cloud that has a block."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from spotwave.tasks.machine.reaper import Orphan, Survey, remove, survey

__all__ = ["Orphan", "Survey", "reap", "survey"]


@flow(name="reap")
def reap() -> list[str] | State[None]:
    """Remove every machine, disk, address, interface, spot request and secret that no active job needs; return the ids.

    Never touches a resource without Spotwave's tag. Fails if a cloud could not be queried, since machines there may
    still be billed.
    """
    log = get_run_logger()
    seen = survey()
    for thing in seen.things:
        if thing.reason is None:
            log.info("%s %s (%s) is left alone", thing.kind, thing.thing.id, thing.where)
    for thing in seen.forgotten:
        log.warning("%s %s (%s): %s; removed", thing.kind, thing.thing.id, thing.where, thing.reason)
        remove(thing)
    if seen.forgotten:
        create_table_artifact(key="reaped", table=_rows(seen.forgotten), description="Removed, and why")
    else:
        log.info("nothing to reap")
    if seen.silent:
        return Failed(message=_unreachable_message(seen.silent))
    return [thing.thing.id for thing in seen.forgotten]


def _rows(things: list[Orphan]) -> list[dict[str, str]]:
    return [
        {"what": thing.kind, "id": thing.thing.id, "where": thing.where, "why": str(thing.reason)} for thing in things
    ]


def _unreachable_message(silent: dict[str, str]) -> str:
    messages = "; ".join(f"{name}: {why}" for name, why in silent.items())
    return f"These clouds could not be queried, so machines may still be billed: {messages}"
