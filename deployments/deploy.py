"""Creates and updates the deployments in the API, as `prefect deploy --all` does, but in this process.

The command starts another Python process, which imports Prefect, every collection and every story once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from spotwave.deployments.api import Unavailable
from spotwave.deployments.story_deployments import Deployment


def deploy_all(client: SyncPrefectClient, deployments: Iterable[Deployment]) -> None:
    """Create each deployment, or update it if the API has it.

    An update keeps what the user has changed in the UI: it sets a schedule's time, not whether it is active, and a
    deployment without schedules here keeps those that the user added. Raises Unavailable if the API rejects one.
    """
    for wanted in deployments:
        try:
            _deploy(client, wanted)
        except (PrefectHTTPStatusError, ObjectAlreadyExists) as error:  # the client's name for any status 409
            raise Unavailable(f"Prefect rejects the deployment {wanted.entrypoint}/{wanted.name}: {error}") from error


def _deploy(client: SyncPrefectClient, wanted: Deployment) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(wanted.entrypoint)
    limit, pool = wanted.concurrency_limit, wanted.work_pool
    fields: dict[str, Any] = {
        "version": flow.version,
        "description": wanted.description,
        "tags": wanted.tags,
        "entrypoint": wanted.entrypoint,
        "parameters": wanted.parameters,
        "parameter_openapi_schema": parameter_schema(flow).model_dump(exclude_unset=True),
        "enforce_parameter_schema": True,
        "pull_steps": wanted.pull,
        "work_pool_name": pool.name,
        "work_queue_name": pool.work_queue_name,
        "job_variables": pool.job_variables,
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": ConcurrencyOptions(collision_strategy=limit.collision_strategy) if limit else None,
    }
    schedules = [
        {"schedule": CronSchedule(cron=one.cron, timezone=one.timezone), "slug": one.slug} for one in wanted.schedules
    ]
    try:
        known = client.read_deployment_by_name(f"{flow.name}/{wanted.name}")
    except ObjectNotFound:
        made = [DeploymentScheduleCreate(**one) for one in schedules]
        client.create_deployment(client.create_flow(flow), wanted.name, schedules=made, **fields)
        return
    if schedules:  # an empty list would remove the user's
        fields["schedules"] = [DeploymentScheduleUpdate(**one) for one in schedules]
    client.update_deployment(known.id, DeploymentUpdate(**fields))
