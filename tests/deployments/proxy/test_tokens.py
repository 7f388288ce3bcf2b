"""Which tokens are accepted, and for how long."""

from __future__ import annotations

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from spotwave.blocks.access import MARGIN_S, basic
from spotwave.node.agent.lease import Fenced, LeaseClient
from spotwave.node.contract import Lease, Phase
from tests.deployments.proxy.kit import (
    KEY,
    World,
    claims,
    close_attempt,
    eventually,
    forged,
    new_job_key,
    open_attempt,
    settings_of,
    socket_of,
)


def test_only_valid_tokens_are_accepted(world: World) -> None:
    url = f"{world.proxy}/api/flow_runs/{world.own.run_id}"
    good = jwt.encode(claims(world), KEY, algorithm="HS256")
    with httpx.Client(trust_env=False) as machine:
        assert machine.get(url, headers={"Authorization": basic(f"machine:{good}")}).status_code == 200
        for what, token in forged(world).items():
            refused = machine.get(url, headers={"Authorization": basic(f"machine:{token}")})
            assert refused.status_code == 403, what
            assert not token or token not in refused.text
        for header in (basic(f"root:{good}"), f"Bearer {good}", basic(good), "Basic ?", "Basic", good, basic("x")):
            assert machine.get(url, headers={"Authorization": header}).status_code == 403
        assert machine.get(url).status_code == 403
        assert machine.get(f"{world.proxy}/health").status_code == 200
        assert machine.get(f"{world.proxy}/health", headers={"Authorization": basic("machine:x")}).status_code == 403


def test_token_expires_and_is_the_same_for_same_attempt(world: World) -> None:
    own = world.own
    first, second = (settings_of(world.proxy, own.job_key, 1, own.lease_id, deadline=1000.0) for _ in range(2))
    assert first == second
    token = first["PREFECT_API_AUTH_STRING"].partition(":")[2]
    assert jwt.decode(token, options={"verify_signature": False})["exp"] == 1000 + MARGIN_S


def test_deleting_lease_revokes_token(world: World) -> None:
    job_key = new_job_key()
    opened = open_attempt(world.client, world.proxy, job_key)
    lease = LeaseClient(opened.settings, opened.lease_id)
    with opened.client() as machine, socket_of(opened, "/events/in") as events:
        lease.renew(Lease(beat=1, phase=Phase.WORKING))
        assert machine.get(f"/flow_runs/{opened.run_id}").status_code == 200
        world.api.delete(f"/artifacts/{opened.lease_id}").raise_for_status()
        with pytest.raises(Fenced):  # immediately, with direct access to the API
            lease.renew(Lease(beat=2, phase=Phase.WORKING))
        eventually("refused", lambda: machine.get(f"/flow_runs/{opened.run_id}").status_code == 403)
        with pytest.raises(Fenced):  # and through the proxy
            lease.renew(Lease(beat=3, phase=Phase.WORKING))
        with pytest.raises(ConnectionClosed) as closed:
            events.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    close_attempt(world.client, opened)
