"""`prices/now` with three emulated clouds, in normal and in faulty conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.flows.prices import prices
from spotwave.tasks.load_blocks import all_clouds
from tests.conftest import Embedded
from tests.emulators import aws, aws_cloud, azure, gcp, gcp_cloud
from tests.emulators.server import Fault
from tests.flows.kit import eventually, saved

pytestmark = pytest.mark.slow

CLOUDS = ["aws-cloud/emulated", "gcp-cloud/emulated", "azure-cloud/emulated"]


@dataclass(frozen=True)
class Clouds:
    aws: aws.AwsEmulator
    gcp: gcp.GcpEmulator
    azure: azure.AzureEmulator
    store: SnapshotStore

    def kept(self) -> dict[str, Path]:
        """Return the newest snapshot file of every cloud."""
        return {one.cloud: Path(one.path) for one in self.store.snapshots()}


@pytest.fixture(scope="module")
def clouds(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """Three emulated clouds, a block for each, and their own store."""
    with aws.AwsEmulator() as amazon, gcp.GcpEmulator() as google, azure.AzureEmulator() as microsoft:
        store = SnapshotStore(url=str(tmp_path_factory.mktemp("store")))
        # Two attempts only: longer retries are tested for each cloud.
        blocks = [
            aws_cloud.cloud_at(amazon, attempts=2),
            gcp_cloud.cloud_at(google.url),
            AzureCloud(prices_endpoint=microsoft.url),
            store,
        ]
        with saved(embedded, "emulated", *blocks):
            yield Clouds(amazon, google, microsoft, store)


def run_now(client: SyncPrefectClient, **parameters: Any) -> FlowRun:
    """Run `prefect deployment run prices/now` to its end."""
    deployment = client.read_deployment_by_name("prices/now")
    given = {"clouds": CLOUDS, "store": "snapshot-store/emulated", **parameters}
    started = client.create_flow_run_from_deployment(deployment.id, parameters=given, state=Scheduled())

    def ended() -> FlowRun | None:
        run = client.read_flow_run(started.id)
        return run if run.state is not None and run.state.is_final() else None

    return eventually("prices/now ends", ended, every_s=0.3)


def message(run: FlowRun) -> str:
    assert run.state is not None
    return str(run.state.message)


def artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str, str]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {str(found.key): str(found.data) for found in client.read_artifacts(artifact_filter=wanted)}


@pytest.mark.thorough
@pytest.mark.usefixtures("prefect_api")
def test_normal_and_faulty_snapshots(client: SyncPrefectClient, clouds: Clouds, embedded: Embedded) -> None:
    # Normal: three fresh snapshots, and the artifacts of the run.
    run = run_now(client)
    assert run.state is not None
    assert run.state.is_completed(), message(run)
    first = clouds.kept()
    assert set(first) == {"aws", "gcp", "azure"}
    counts = dict(clouds.store.frame().group_by("cloud").len().iter_rows())
    assert message(run) == "; ".join(f"{kind}: {counts[kind]} offers, fresh" for kind in ("aws", "gcp", "azure"))
    shown = artifacts(client, run)
    assert set(shown) == {"prices", "prices-by-region", "prices-over-time"}
    assert "| azure: Windows |" in shown["prices"]
    assert "cheapest of" in shown["prices"]
    assert "| gcp | us-central1 |" in shown["prices-by-region"]
    assert shown["prices-over-time"].startswith("![Price over time](data:image/png;base64,")

    # One cloud answers 500 to everything, another returns an empty list: both keep their snapshots, as the run reports.
    clouds.aws.fail(Fault(lambda request: True, aws.server_error()))
    clouds.gcp.fail(gcp.fault(gcp.SKUS, gcp.empty()))
    run = run_now(client)
    assert run.state is not None
    assert run.state.is_completed(), message(run)
    second = clouds.kept()
    assert second["azure"] != first["azure"]
    assert (second["aws"], second["gcp"]) == (first["aws"], first["gcp"])
    assert f"azure: {counts['azure']} offers, fresh" in message(run)
    assert "aws: the snapshot of" in message(run)
    assert "gcp: the snapshot of" in message(run)
    assert "**not fresh**" in artifacts(client, run)["prices"]

    # Half of one cloud's offers are gone: not published until a user accepts it.
    clouds.gcp.heal()
    clouds.aws.heal()
    clouds.aws.fail(aws.fault("DescribeSpotPriceHistory", aws.refused("AuthFailure", 401), region="eu-west-1"))
    run = run_now(client, clouds=CLOUDS[:1])
    assert run.state is not None
    assert run.state.is_failed()
    assert "held back: 1 of" in message(run)
    assert "accept = ['aws']" in message(run)
    assert clouds.kept() == second
    run = run_now(client, clouds=CLOUDS[:1], accept=["aws"])
    assert run.state is not None
    assert run.state.is_completed(), message(run)
    newest = pl.read_parquet(clouds.kept()["aws"])
    assert "eu-west-1" not in newest["region"].to_list()
    clouds.aws.heal()


@pytest.mark.usefixtures("prefect_api")
def test_invalid_parameters_give_one_line(embedded: Embedded, clouds: Clouds, tmp_path: Path) -> None:
    def refused(**parameters: Any) -> str:
        state = prices(**{"store": "snapshot-store/emulated", **parameters}, return_state=True)
        assert state.is_failed()
        return str(state.message)

    assert refused(clouds=["aws-cloud/nobody"]).startswith("clouds: there is no block 'aws-cloud/nobody'.")
    with saved(embedded, "twin", aws_cloud.cloud_at(clouds.aws)) as twin:
        assert refused(clouds=["aws-cloud/emulated", *twin]).startswith("clouds: two of them are of the same kind.")
    (tmp_path / "file").write_text("")
    SnapshotStore(url=str(tmp_path / "file")).save("not-a-folder")
    assert refused(clouds=CLOUDS[:1], store="snapshot-store/not-a-folder").startswith("url: cannot")


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.usefixtures("clouds")
def test_one_block_per_kind_is_used_and_broken_ones_are_reported(embedded: Embedded, client: SyncPrefectClient) -> None:
    with saved(embedded, "broken", AzureCloud(prices_endpoint="http://127.0.0.1:9")):
        check_broken_block(client)


def check_broken_block(client: SyncPrefectClient) -> None:
    document = client.read_block_document_by_name("broken", "azure-cloud")
    plain = BlockDocumentUpdate(data={"prices_endpoint": "http://prices.example.org"}, merge_existing_data=True)
    client.update_block_document(document.id, plain)
    found = all_clouds()
    names = {cloud.kind: name for name, cloud in found.has_market.items()}
    assert names == {"aws": "aws-cloud/emulated", "gcp": "gcp-cloud/emulated", "azure": "azure-cloud/emulated"}
    assert "azure-cloud/public" in found.usable
    assert "local-cloud/here" in found.usable
    assert list(found.broken) == ["azure-cloud/broken"]
    assert found.broken["azure-cloud/broken"].startswith(
        "clouds: the block 'azure-cloud/broken' cannot be used: prices_endpoint: "
    )
    assert "is plain http to another computer" in found.broken["azure-cloud/broken"]
