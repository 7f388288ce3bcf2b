"""The deployments of ours that an API has."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Found by their tag, whichever version of Spotwave made them."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["spotwave"]))
    return client.read_deployments(deployment_filter=ours)
