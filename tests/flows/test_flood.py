"""A job whose machine uses a proxy that is flooded the whole time: the job is not affected."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from tests.conftest import Embedded
from tests.deployments.proxy.kit import KEY
from tests.deployments.proxy.test_run_through import command
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, endings, eventually, same_energies
from tests.security.flood import flooded
from tests.security.rows import Row

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=0.7)]

ROWS = [
    Row(
        "proxy, during a job",
        "500 half-sent requests, bodies and websockets without a token, opened anew when they are ended",
        "the job ends on its first machine",
    )
]


def test_flooded_proxy_costs_no_machine(
    embedded: Embedded, client: SyncPrefectClient, job: Start, tmp_path: Path
) -> None:
    PrefectAccess(way="proxy", proxy_key=SecretStr(KEY)).save("flooded", overwrite=True)
    log = tmp_path / "proxy.log"
    with command(embedded, "prefect-access/flooded", log) as url, flooded(int(url.rpartition(":")[2]), 500) as opened:
        PrefectAccess(way="proxy", proxy_url=url, proxy_key=SecretStr(KEY)).save("flooded", overwrite=True)
        eventually("the flood has started", lambda: opened.value >= 500)
        result = job(**MINIMAL, access="prefect-access/flooded", silence_minutes=0.5).completed()
        assert opened.value > 1000, "the flood went on"
    PrefectAccess.delete("flooded")
    same_energies(result)
    assert endings(result) == ["completed"]
    assert "too many connections without a token" in log.read_text()
