"""The identity of a machine: job key, attempt and node index, in names, folders, briefs, secrets and tokens."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.attempt_token import AttemptToken, BadToken
from spotwave.blocks.azure.resource_ids import job_of_part, part
from spotwave.node.boot.clouds import common
from spotwave.node.contract import Brief
from spotwave.node.identity import MOST_NODES, node_dir, node_file, node_files, node_name, node_of

KEY = "sw-0123456789ab"
LEASE = UUID(int=7)
SIGNING_KEY = "k" * 32
FILES = {"rclone.conf": "r", "api.json": "0", "node-1.api.json": "1", "node-12.api.json": "12", "node-1.more": "m"}


def brief(**changes: object) -> Brief:
    told = Brief(
        job_key=KEY, attempt=3, remote="r:x", lease_id="lease-0", vcpus=2, memory_gib=4.0, deadline=2e9, nodes=3
    )
    return replace(told, **({"node_leases": ("lease-1", "lease-2")} | changes))  # type: ignore[arg-type]


def test_node_0_has_the_names_of_its_attempt() -> None:
    assert node_name(KEY, 3, 0) == f"{KEY}-3"
    assert node_dir(3, 0) == "attempts/3"


@pytest.mark.parametrize("node", [1, 9, 10, MOST_NODES - 1])
def test_another_nodes_names_end_in_its_index(node: int) -> None:
    name = node_name(KEY, 3, node)
    assert name == f"{KEY}-3-n{node}"
    assert node_of(name) == node_of(f"{name}-abc123") == node
    assert node_dir(3, node) == f"attempts/3/nodes/{node}"
    assert len(f"{node_name(KEY, 100, node)}-abcdef12-disk") <= 63, "Compute Engine, Azure and DNS take no more"


@pytest.mark.parametrize("name", [f"{KEY}-3", f"{KEY}-3-0a1b2c", "sw-n1-3", "sw-0123456789ab-3-n0", f"{KEY}-3-n1000"])
def test_a_name_without_an_index_is_node_0s(name: str) -> None:
    assert node_of(name) == 0


def test_each_node_gets_its_own_files_and_the_shared_ones() -> None:
    assert node_files(FILES, 0) == {"rclone.conf": "r", "api.json": "0"}
    assert node_files(FILES, 1) == {"rclone.conf": "r", "api.json": "1", "more": "m"}
    assert node_files(FILES, 2) == node_files(FILES, 0)
    assert node_files(FILES, 12) == {"rclone.conf": "r", "api.json": "12"}
    assert node_file("api.json", 0) == "api.json"
    assert node_file("api.json", 12) == "node-12.api.json"


@pytest.mark.parametrize("node", [0, 1, 2, 12])
def test_a_machine_picks_the_same_files(node: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTWAVE_WORK", str(tmp_path))
    (tmp_path / "brief.json").write_text(json.dumps({"node": node}))
    assert common.own_files(json.dumps(FILES)) == node_files(FILES, node)


def test_a_brief_of_another_node_has_its_name_folder_and_lease() -> None:
    second = brief().of_node(2)
    assert (second.node, second.nodes, second.lease_id) == (2, 3, "lease-2")
    assert second.name == f"{KEY}-3-n2"
    assert second.folder == "attempts/3/nodes/2"
    assert brief().of_node(0) == brief()
    assert Brief.from_json(second.to_json()) == second
    with pytest.raises(IndexError, match="node 3 of an attempt with 3"):
        brief().of_node(3)


def test_a_brief_of_an_earlier_version_is_of_a_single_machine() -> None:
    old = json.loads(brief().to_json())
    for name in ("node", "nodes", "node_leases"):
        del old[name]
    told = Brief.from_dict(old)
    assert (told.node, told.nodes, told.node_leases, told.name) == (0, 1, (), f"{KEY}-3")


@pytest.mark.parametrize(
    ("name", "value"),
    [("node", -1), ("node", MOST_NODES), ("nodes", 0), ("nodes", True), ("node_leases", "x"), ("node_leases", [1])],
)
def test_a_brief_with_an_impossible_node_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Brief.from_dict(json.loads(brief().to_json()) | {name: value})


@pytest.mark.parametrize("node", [0, 1, 5])
def test_an_index_is_written_into_the_brief_that_all_were_given(node: int, tmp_path: Path) -> None:
    path = tmp_path / "brief.json"
    path.write_text(brief(nodes=6, node_leases=tuple(f"lease-{number}" for number in range(1, 6))).to_json())
    common.assign(str(path), lambda: node)
    told = Brief.read(path)
    assert (told.node, told.lease_id) == (node, f"lease-{node}")


def test_a_machine_alone_asks_for_no_index(tmp_path: Path) -> None:
    path = tmp_path / "brief.json"
    alone = replace(brief(), nodes=1, node_leases=())
    path.write_text(alone.to_json())

    def asked() -> int:
        raise AssertionError("its metadata was asked")

    common.assign(str(path), asked)
    assert Brief.read(path) == alone


def test_a_token_names_its_node_and_node_0s_is_the_token_of_before() -> None:
    expires = int(time.time()) + 60
    lead, second = (AttemptToken(KEY, 3, LEASE, expires, node) for node in (0, 2))
    assert AttemptToken.read(second.signed(SIGNING_KEY), SIGNING_KEY) == second
    assert second.name == f"{KEY}-3-n2"
    claims = jwt.decode(lead.signed(SIGNING_KEY), SIGNING_KEY, algorithms=["HS256"])
    assert set(claims) == {"job", "attempt", "lease", "exp"}
    assert AttemptToken.read(lead.signed(SIGNING_KEY), SIGNING_KEY).node == 0


@pytest.mark.parametrize("node", [-1, MOST_NODES, True, "1", 1.0, None])
def test_a_token_with_an_impossible_node_is_refused(node: object) -> None:
    claims = {"job": KEY, "attempt": 3, "lease": str(LEASE), "exp": int(time.time()) + 60, "node": node}
    with pytest.raises(BadToken, match="names no node"):
        AttemptToken.read(jwt.encode(claims, SIGNING_KEY, algorithm="HS256"), SIGNING_KEY)


def test_each_nodes_access_has_a_token_of_its_own() -> None:
    access = PrefectAccess(way="proxy", proxy_url="https://proxy.example.org", proxy_key=SecretStr(SIGNING_KEY))
    deadline = time.time() + 60
    texts = [
        access.secrets(job_key=KEY, attempt=3, lease_id=str(UUID(int=node)), deadline=deadline, node=node)["api.json"]
        for node in range(3)
    ]
    told = [json.loads(text.get_secret_value())["PREFECT_API_AUTH_STRING"].partition(":")[2] for text in texts]
    tokens = [AttemptToken.read(one, SIGNING_KEY) for one in told]
    assert [(token.node, token.lease_id.int) for token in tokens] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("node", [0, 1, 25])
def test_the_job_is_read_from_the_name_of_an_azure_part(node: int) -> None:
    assert job_of_part(part(f"{node_name(KEY, 3, node)}-0a1b2c3d", "disk")) == KEY
