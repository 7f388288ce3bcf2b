"""Blocks on a real Prefect server: registration, saving, loading by name, masking of secrets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect_aws import AwsCredentials
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.load import load
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.registry import WINGS, block_types, register_all, wing


@pytest.mark.usefixtures("plain_server")
def test_blocks_are_saved_loaded_and_masked() -> None:
    register_all()
    register_all()
    LocalCloud(notice_s=5, prices={"local-1": 0.25}).save("here")
    RcloneRemote(config=SecretStr("[d]\npass = tOpSeCrEt\n"), path="d:spotwave").save("drive")
    PrefectAccess(api_key=SecretStr("pnu_tOpSeCrEt"), auth_string=SecretStr("u:tOpSeCrEt")).save("server")

    cloud = Block.load("local-cloud/here")
    assert isinstance(cloud, LocalCloud)
    assert (cloud.notice_s, cloud.prices) == (5, {"local-1": 0.25})
    remote = Block.load("rclone-remote/drive")
    assert isinstance(remote, RcloneRemote)
    assert remote.config is not None
    assert remote.config.get_secret_value() == "[d]\npass = tOpSeCrEt\n"
    assert isinstance(Block.load("prefect-access/server"), PrefectAccess)

    with get_client(sync_client=True) as client:
        shown = client.request("POST", "/block_documents/filter", json={}).text
        assert "d:spotwave" in shown
        assert "tOpSeCrEt" not in shown
        types = {t["slug"]: t for t in client.request("POST", "/block_types/filter", json={}).json()}
    for block_type in block_types():
        registered = types[block_type.get_block_type_slug()]
        assert registered["description"]
        assert f"from {block_type.__module__} import {block_type.__name__}" in registered["code_example"]


@pytest.mark.usefixtures("plain_server")
@pytest.mark.parametrize("apart", [True, False], ids=["a block of their own", "inside"])
def test_cloud_is_loaded_with_its_credentials_and_without_other_integrations(apart: bool) -> None:
    """Importing an integration takes seconds and memory."""
    keys = AwsCredentials(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=SecretStr("tOpSeCrEt"))
    if apart:
        keys.save("keys")
    AwsCloud(credentials=keys, regions=["us-east-1"]).save("mine", overwrite=True)
    found = load(AwsCloud, "mine")
    assert found.regions == ["us-east-1"]
    assert isinstance(found.credentials, AwsCredentials)
    assert found.credentials.aws_secret_access_key is not None
    assert found.credentials.aws_secret_access_key.get_secret_value() == "tOpSeCrEt"
    code = (
        "import sys; from spotwave.blocks.aws.block import AwsCloud; from spotwave.blocks.load import load; "
        "load(AwsCloud, 'mine'); "
        "print({'prefect_aws', 'prefect_gcp', 'prefect_azure'} & set(sys.modules))"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "{'prefect_aws'}", done.stderr


def test_every_field_has_a_title_and_a_description() -> None:
    for block_type in block_types():
        for name, field in block_type.model_fields.items():
            assert field.title, (block_type, name)
            assert field.description, (block_type, name)


def test_clouds_are_registered_by_their_kind() -> None:
    for kind in WINGS:
        assert wing(kind).kind == kind
    with pytest.raises(ValueError, match="nimbus"):
        wing("nimbus")
