"""Spotwave's deployments in a Prefect API."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments with the tag of Spotwave, whichever version created them."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["spotwave"]))
    return client.read_deployments(deployment_filter=ours)
