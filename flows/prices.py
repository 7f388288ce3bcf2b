"""The prices flow: read every cloud's spot prices, validate them, save a snapshot, and show what changed."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from spotwave.blocks.models import Requirements
from spotwave.blocks.snapshots import StoreUnavailable
from spotwave.flows.loop.parameter_docs import described
from spotwave.tasks.load_blocks import NoSuchBlock, all_clouds, load_cloud, load_store
from spotwave.tasks.market.price_history import draw_prices
from spotwave.tasks.market.prices_report import report
from spotwave.tasks.market.publish_snapshot import Published, publish

USUAL = Requirements(min_vcpus=16, max_vcpus=32, min_memory_gib=64, max_memory_gib=256, architectures=["x86_64"])


@flow(name="prices", log_prints=False)
@described
def prices(
    clouds: Annotated[
        list[str], Field(description="Cloud blocks, as '<block type>/<document>'. Empty: all that are saved.")
    ] = [],  # noqa: B006 - Prefect copies it
    store: Annotated[str, Field(description="Where the snapshots go.")] = "snapshot-store/here",
    requirements: Annotated[
        Requirements, Field(description="Requirements for the report's cheapest offers and for the picture.")
    ] = USUAL,
    accept: Annotated[
        list[str],
        Field(description="Clouds ('aws', ...) whose mass price change you have reviewed and accept as real."),
    ] = [],  # noqa: B006
) -> State[Any]:
    """Take a snapshot of the whole spot market. Each cloud's part is published only if it passes the quality checks.

    A cloud that fails keeps its last snapshot, and the run reports it. The run is Failed only if no cloud has a fresh
    snapshot.
    """
    try:
        load_store(store)
        kinds = [load_cloud(name).kind for name in clouds]
        if len(set(kinds)) < len(kinds):
            return _refused("clouds: two of them are of the same kind. Name one of each kind.")
        named, broken = (clouds, []) if clouds else _saved()
        if not named and not broken:
            return _refused(
                "clouds: none is saved. Create an AWS Cloud, GCP Cloud or Azure Cloud under Blocks in the UI."
            )
        return _report_state(_published(named, store, accept) + broken, store, requirements)
    except (NoSuchBlock, StoreUnavailable) as error:
        return _refused(str(error))


def _saved() -> tuple[list[str], list[Published]]:
    """Return the Cloud documents to read, and results for those that cannot be used."""
    saved = all_clouds()
    return list(saved.has_market), [
        Published(cloud=name, fresh=False, why=why) for name, why in sorted(saved.broken.items())
    ]


def _published(clouds: list[str], store: str, accept: list[str]) -> list[Published]:
    """Publish all clouds in parallel, independently of each other."""
    futures = [publish.submit(cloud, store, accept) for cloud in clouds]
    wait(futures)
    return [future.result() for future in futures]


def _report_state(published: list[Published], store: str, requirements: Requirements) -> State[Any]:
    report(published, store, requirements)
    draw_prices(published, store, requirements)
    summary = "; ".join(one.line for one in published)
    get_run_logger().info(summary)
    if not any(one.fresh for one in published):
        return Failed(message=f"no fresh snapshot. {summary}")
    return Completed(message=summary, data=[one.model_dump(mode="json") for one in published])


def _refused(reason: str) -> State[Any]:
    get_run_logger().error(reason)
    return Failed(message=reason)
