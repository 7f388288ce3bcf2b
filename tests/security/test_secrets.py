"""Planted secrets must not appear anywhere that a person or another process can read."""

from __future__ import annotations

import copy
import json
import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest
from prefect.blocks.core import Block
from prefect.types import SecretDict
from prefect_aws import AwsCredentials
from pydantic import BaseModel, SecretStr, ValidationError

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.credentials import AzureCredentials
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import LaunchBrief
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.registry import block_types
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.blocks.user_data import render
from spotwave.node.storage.remote import RemoteError
from tests.blocks.machine_kit import brief, until
from tests.emulators.gcp_cloud import cloud_at

PLANTED = "planted-5c1f77"
# Names that indicate a secret, and fields with such names without secrets: names of public keys, and addresses.
WORDS = ("pass", "secret", "token", "key", "auth", "conf", "credential")
NONE_OF_THEM = {
    "aws_access_key_id",
    "secret_endpoint",
    "secret_locations",
    "config",
    "TokenCode",
    "service_account_file",
}
# Prefect's own AWS block stores it in clear text (docs/security.md). It expires within hours.
NOT_OURS = {"aws_session_token"}
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


def fields_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str, set[Any]]]:
    """Yield (path, name, possible types) of every field, also of nested models."""
    for name, field in model.model_fields.items():
        types = {field.annotation, *get_args(field.annotation)}
        yield f"{path}{name}", name, types
        for one in types:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from fields_of(one, f"{path}{name}.")


def test_fields_for_secrets_have_secret_types() -> None:
    open_fields = {
        (block.__name__, path)
        for block in block_types()
        for path, name, types in fields_of(block)
        if any(word in name for word in WORDS) and name not in NONE_OF_THEM | NOT_OURS
        if not any(one in (SecretStr, SecretDict) for one in types)
        if not any(isinstance(one, type) and issubclass(one, BaseModel) for one in types)
    }
    assert open_fields == set()
    # One `config` is a whole rclone.conf; the other is botocore's.
    assert SecretStr in get_args(RcloneRemote.model_fields["config"].annotation)


def blocks() -> list[Block]:
    """Return every block, with planted values in all its secrets."""
    secret = SecretStr(PLANTED)
    azure = AzureCredentials(subscription_id=SUBSCRIPTION, tenant_id="t", client_id="c", client_secret=secret)
    keys = AwsCredentials(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=secret)
    google = copy.deepcopy(cloud_at("http://127.0.0.1:9"))
    assert google.credentials.service_account_info is not None
    google.credentials.service_account_info = SecretDict({"type": "service_account", "private_key": PLANTED})
    return [
        AwsCloud(credentials=keys),
        AzureCloud(credentials=azure),
        google,
        RcloneRemote(config=SecretStr(f"[drive]\ntype = drive\ntoken = {PLANTED}\n"), path="drive:x"),
        PrefectAccess(api_key=secret, auth_string=secret, proxy_key=SecretStr(PLANTED * 4)),
        SnapshotStore(options=SecretDict({"secret": PLANTED})),
    ]


def test_blocks_do_not_show_secrets() -> None:
    found = blocks()
    planted = {type(block) for block in found}
    kinds = {SecretStr, SecretDict}
    holding = {block for block in block_types() if any(kinds & types for _, _, types in fields_of(block))}
    assert holding - {AzureCredentials} <= planted, "a new block with secrets: plant some here"
    for block in found:
        shown = [repr(block), str(block), f"{block!r:.10000}", block.model_dump_json(), repr(block.model_dump())]
        shown += [repr(vars(block)), json.dumps(block.model_json_schema())]
        assert PLANTED not in "\n".join(shown), type(block).__name__
        opened = block.model_dump(mode="json", context={"include_secrets": True})
        assert PLANTED in json.dumps(opened), "nothing planted"


@pytest.mark.parametrize(
    ("block", "given"),
    [
        (RcloneRemote, {"config": [PLANTED]}),
        (RcloneRemote, {"config": PLANTED, "path": "-x:y"}),
        (PrefectAccess, {"api_key": {"a": PLANTED}}),
        (PrefectAccess, {"proxy_key": PLANTED}),
        (PrefectAccess, {"auth_string": PLANTED, "api_url": "nowhere"}),
        (PrefectAccess, {"api_url": f"https://user:{PLANTED}@prefect.example.org/api"}),
        (SnapshotStore, {"options": PLANTED}),
        (AzureCloud, {"credentials": {"client_secret": PLANTED}}),
        (AwsCloud, {"credentials": {"aws_secret_access_key": [PLANTED]}}),
        (GcpCloud, {"credentials": {"service_account_info": PLANTED}}),
        (AzureCredentials, {"client_secret": PLANTED}),
        (AzureCredentials, {"client_secret": PLANTED, "subscription_id": SUBSCRIPTION}),
    ],
)
def test_validation_errors_do_not_show_secrets(block: type[Block], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        block(**given)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_launch_data_has_secrets_only_in_vault() -> None:
    secrets = {"rclone.conf": SecretStr(PLANTED), "api.json": SecretStr(PLANTED)}
    what = LaunchBrief(brief().brief, secrets)
    assert PLANTED not in repr(what) + str(what) + what.brief.to_json() + render(what.brief, settings={}, cloud="aws")
    assert PLANTED in what.secret_text()


# Each fails immediately with an error of rclone; some errors quote the given values.
BROKEN = {
    "address": f"type = webdav\nurl = http://me:{PLANTED}@127.0.0.1:9/dav\n",
    "headers": f"type = webdav\nurl = http://127.0.0.1:9/dav\nheaders = {PLANTED}\n",
    "password": f"type = sftp\nhost = 127.0.0.1\nport = 9\npass = {PLANTED}\n",
    "key": f"type = sftp\nhost = 127.0.0.1\nport = 9\nkey_pem = {PLANTED}\n",
    "token": f'type = drive\ntoken = {{"access_token": "{PLANTED}\n',
    "account": f'type = drive\nservice_account_credentials = {{"private_key": "{PLANTED}"}}\n',
    "connection": f"type = azureblob\nconnection_string = AccountName=x;AccountKey={PLANTED};BlobEndpoint=http://x\n",
    "crypt": f"type = crypt\nremote = /tmp\npassword = {PLANTED}\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_rclone_errors_are_redacted(name: str) -> None:
    block = RcloneRemote(config=SecretStr(f"[away]\n{BROKEN[name]}"), path="away:bucket/folder")
    with block._remote(block.root(), call_s=60.0) as remote, pytest.raises(RemoteError) as caught:
        remote._checked("lsf", [remote.root, "--retries=1", "--low-level-retries=1"], 60.0)
    assert str(caught.value).startswith("rclone lsf: ")
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_not_visible_in_process_list() -> None:
    """Checked while rclone waits for a server that accepts the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = f"[away]\ntype = webdav\nurl = http://127.0.0.1:{port}/dav\nbearer_token = {PLANTED}\n"
        block = RcloneRemote(config=SecretStr(config), path="away:folder")

        def ask() -> None:
            with block._remote(block.root(), call_s=3.0) as remote, pytest.raises(RemoteError, match="timed out after"):
                remote.list()

        before = set(psutil.Process().children(recursive=True))
        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = silent.accept()
        with connection:
            assert PLANTED in connection.recv(4096).decode()  # control: rclone does send it
            (rclone,) = set(psutil.Process().children(recursive=True)) - before
            shown = [*rclone.cmdline(), *rclone.environ().values()]
            config_file = next(word.partition("=")[2] for word in rclone.cmdline() if word.startswith("--config="))
            assert PLANTED in Path(config_file).read_text()
            assert Path(config_file).stat().st_mode & 0o077 == 0
            assert Path(config_file).parent.stat().st_mode & 0o077 == 0
            assert PLANTED not in "\n".join(shown)
        asking.join(30)
        assert not asking.is_alive()
    until(lambda: not Path(config_file).exists())
