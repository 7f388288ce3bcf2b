"""The rendered cloud.py of the user data, run against emulated metadata services and cloud APIs."""

from __future__ import annotations

import ast
import base64
import json
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from spotwave.blocks.user_data import render
from spotwave.node.boot.clouds.aws import signed
from spotwave.node.contract import PIECE_CHARS, Ending, Lease, Phase
from tests.blocks.machine_kit import brief
from tests.emulators.computer import MetadataService
from tests.emulators.metadata import AwsMetadata, AzureMetadata, GcpMetadata
from tests.emulators.server import Emulator, Fault, Request, Response

SECRET = {"rclone.conf": '[drive]\ntype = drive\ntoken = {"access_token":"ya29.planted-Zq8"}\n', "api.json": "{}"}
NAME = "spotwave-sw-0123456789ab"
RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/sw-1"
CLOUDS = ("aws", "gcp", "azure")
Metadata = AwsMetadata | GcpMetadata | AzureMetadata


def metadata_of(cloud: str) -> Metadata:
    if cloud == "aws":
        return AwsMetadata("i-1", region="eu-central-1", zone="eu-central-1a")
    if cloud == "gcp":
        return GcpMetadata("sw-1", project="chemistry", zone="europe-west3-a")
    return AzureMetadata("sw-1", resource_id=RESOURCE, location="westeurope", client_id="identity")


class Services(Emulator):
    """The cloud APIs that a machine calls, for requests with the machine's own token."""

    def __init__(self, metadata: Metadata) -> None:
        super().__init__()
        self._metadata = metadata

    def name_of(self, request: Request) -> str:
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        return f"{request.method} {request.path}{'?' if query else ''}{query}"

    def answer(self, request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        if isinstance(self._metadata, AwsMetadata):
            asked = request.headers.get("x-amz-target"), json.loads(request.body)
            if authorization != aws_signature(request, self._metadata.credentials):
                return Response(b'{"__type": "com.amazon.coral.service#InvalidSignatureException"}', 400)
            assert asked == ("secretsmanager.GetSecretValue", {"SecretId": NAME})
            return Response(json.dumps({"SecretString": json.dumps(SECRET)}).encode())
        if isinstance(self._metadata, GcpMetadata):
            if authorization != f"Bearer {self._metadata.token}":
                return Response(b'{"error": {"code": 403, "status": "PERMISSION_DENIED"}}', 403)
            data = base64.b64encode(json.dumps(SECRET).encode()).decode()
            return Response(json.dumps({"payload": {"data": data}}).encode())
        resource = "https://vault.azure.net" if "/secrets/" in request.path else "https://management.azure.com"
        if authorization != f"Bearer {self._metadata.token_for(resource)}":
            return Response(b'{"error": {"code": "Forbidden"}}', 403)
        return Response(json.dumps({"value": json.dumps(SECRET)}).encode(), 200 if request.method == "GET" else 202)


def aws_signature(request: Request, credentials: Mapping[str, str]) -> str:
    """Return the signature that botocore would have sent."""
    sent = {"content-type", "x-amz-target", "x-amz-date"}
    theirs = AWSRequest(
        "POST",
        f"{request.url}{request.path}",
        data=request.body,
        headers={name: value for name, value in request.headers.items() if name in sent},
    )
    theirs.context["timestamp"] = request.headers["x-amz-date"]
    theirs.headers["X-Amz-Security-Token"] = credentials["Token"]
    keys = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["Token"])
    auth = SigV4Auth(keys, "secretsmanager", "eu-central-1")
    return "AWS4-HMAC-SHA256 " + ", ".join(
        [
            f"Credential={auth.scope(theirs)}",
            f"SignedHeaders={auth.signed_headers(auth.headers_to_sign(theirs))}",
            f"Signature={auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)}",
        ]
    )


class Machine:
    def __init__(self, cloud: str, folder: Path, metadata: MetadataService, services: Services) -> None:
        script = render(brief().brief, settings={}, cloud=cloud)
        self.program = folder / "cloud.py"
        self.program.write_text(script.split("<<'CLOUD'\n")[1].split("\nCLOUD\n")[0])
        programs = folder / "bin"
        programs.mkdir()
        (programs / "poweroff").write_text(f"#!/bin/sh\necho off >>{folder}/off\n")
        (programs / "poweroff").chmod(0o755)
        self.off = folder / "off"
        self.environment = {
            # Only this folder: the program must never find the host's own poweroff.
            "PATH": str(programs),
            "SPOTWAVE_METADATA": metadata.url,
            "http_proxy": "http://127.0.0.1:9",
            "no_proxy": services.url.removeprefix("http://"),
            "SPOTWAVE_SECRET": NAME,
            "SPOTWAVE_SECRET_AT": services.url,
            "SPOTWAVE_SECRET_REGION": "eu-central-1",
            "SPOTWAVE_PROJECT": "chemistry",
            "SPOTWAVE_API_AT": services.url,
            "SPOTWAVE_IDENTITY": "identity",
            "SPOTWAVE_SECRETS": str(folder / "secrets"),
            "SPOTWAVE_WORK": str(folder),
        }
        (folder / "brief.json").write_text(brief().brief.to_json())  # it is there before any of these programs runs
        self.metadata, self.services = metadata, services

    def run(self, *arguments: str, stdin: str = "", hasty: bool = False) -> subprocess.CompletedProcess[str]:
        source = self.program.read_text()
        if hasty:
            source = source.replace("PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30, 30, 30)", "PAUSES_S = (0.01, 0.01)")
            source = source.replace("_PATIENCE_S = 120.0", "_PATIENCE_S = 0.01")
            assert "0.01" in source
        self.program.write_text(source)
        return subprocess.run(
            [sys.executable, "-I", "-S", str(self.program), *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@contextmanager
def machine(cloud: str, folder: Path) -> Iterator[Machine]:
    metadata = metadata_of(cloud)
    with MetadataService(metadata) as service, Services(metadata) as services:
        yield Machine(cloud, folder, service, services)


def test_the_signature_equals_that_of_botocore() -> None:
    credentials = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPx", "Token": "FwoGZ//x=="}
    url, body, now = "https://secretsmanager.eu-central-1.amazonaws.com/", b'{"SecretId": "a/b"}', "20261121T101112Z"
    ours = signed(url, body, "eu-central-1", credentials, now)
    request = Request("POST", "/", {}, {name.lower(): value for name, value in ours.items()}, body, url.rstrip("/"))
    assert ours["Authorization"] == aws_signature(request, credentials)


def is_needed(request: Request) -> bool:
    """All requests except the one that enables Azure's Scheduled Events, whose answer is ignored."""
    return "scheduledevents" not in request.path


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_secret_is_written_to_private_files_and_never_logged(cloud: str, tmp_path: Path) -> None:
    with machine(cloud, tmp_path) as one:
        # A role that is not usable yet: once at the metadata service, once at the secret manager.
        one.metadata.fail(Fault(is_needed, lambda request, answer: Response(b"{}", 404), times=1))
        one.services.fail(Fault(lambda request: True, lambda request, answer: Response(b"{}", 403), times=1))
        done = one.run("secrets", str(tmp_path / "secrets"))
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == SECRET
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert done.stderr.count("next try in") == 2
    assert done.stdout == ""
    assert "planted" not in done.stderr


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_refused_secret_is_not_requested_forever(cloud: str, tmp_path: Path) -> None:
    with machine(cloud, tmp_path) as one:
        refusal = b'{"__type": "AccessDeniedException", "Message": "planted"}'
        one.services.fail(Fault(lambda request: True, lambda request, answer: Response(refusal, 403)))
        done = one.run("secrets", str(tmp_path / "secrets"), hasty=True)
        assert len(one.services.calls) == 3
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"secrets: {'POST' if cloud == 'aws' else 'GET'} http://127.0.0.1:")
    assert done.stderr.splitlines()[-1].endswith("HTTP 403 AccessDeniedException")
    assert "planted" not in done.stderr
    assert not (tmp_path / "secrets").exists()


def test_an_invalid_secret_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    with machine("gcp", tmp_path) as one:
        data = base64.b64encode(json.dumps({"../escaped": "x"}).encode()).decode()
        body = json.dumps({"payload": {"data": data}}).encode()
        one.services.fail(Fault(lambda request: True, lambda request, answer: Response(body)))
        done = one.run("secrets", str(tmp_path / "secrets"), hasty=True)
    assert done.returncode == 1
    assert not (tmp_path / "escaped").exists()


ENDS = {
    "aws": [],
    "gcp": ["DELETE /compute/v1/projects/chemistry/zones/europe-west3-a/instances/sw-1"],
    "azure": [f"DELETE {RESOURCE}?api-version=2024-07-01&forceDeletion=true"],
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_machine_ends_itself(cloud: str, tmp_path: Path) -> None:
    with machine(cloud, tmp_path) as one:
        done = one.run("end", hasty=True)
        assert one.services.calls == ENDS[cloud]
    assert done.returncode == 0
    assert one.off.read_text() == "off\n"  # the accepted deletion did not happen, so it powers off


@pytest.mark.parametrize("cloud", ["gcp", "azure"])
def test_a_refused_deletion_is_retried_before_the_power_is_switched_off(cloud: str, tmp_path: Path) -> None:
    with machine(cloud, tmp_path) as one:
        refused = Fault(lambda request: request.method == "DELETE", lambda request, answer: Response(b"{}", 503))
        one.services.fail(refused)
        assert one.run("end", hasty=True).returncode == 0
        deallocated = [f"POST {RESOURCE}/deallocate?api-version=2024-07-01"] if cloud == "azure" else []
        assert one.services.calls == ENDS[cloud] * 3 + deallocated
        assert one.off.exists()
        one.off.unlink()
        one.services.calls.clear()
        refused.times = 2
        one.run("end", hasty=True)
        assert one.services.calls == ENDS[cloud] * 3


def test_the_log_is_reported_without_secrets(tmp_path: Path) -> None:
    with machine("gcp", tmp_path) as one:
        api = {"PREFECT_API_URL": one.services.url + "/api", "PREFECT_API_KEY": "planted-key-77"}
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/api.json").write_text(json.dumps(api))
        (tmp_path / "secrets/rclone.conf").write_text(SECRET["rclone.conf"] + "[s]\npass = planted-pass\n")
        (tmp_path / "brief.json").write_text(brief().brief.to_json())
        received: list[Request] = []

        def note(request: Request, answer: Response) -> Response:
            received.append(request)
            return Response(b"", 204)

        one.services.fail(Fault(lambda request: True, note))
        log = "before\nplanted-key-77 ya29.planted-Zq8 planted-pass https://me:planted@host/x\nlast words\n"
        done = one.run("tell", stdin=log)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "before\n*** *** *** https://***@host/x\nlast words\n"
    assert [(request.method, request.path) for request in received] == [
        ("PATCH", f"/api/artifacts/{brief().brief.lease_id}")
    ]
    assert received[0].headers["authorization"] == "Bearer planted-key-77"
    body = json.loads(received[0].body)
    lease = Lease.from_metadata(body["metadata_"])
    assert lease is not None
    assert lease.phase is Phase.ENDED
    assert lease.outcome is not None
    assert lease.outcome.ending is Ending.LOST
    assert "last words" in lease.outcome.reason
    assert max(map(len, body["metadata_"].values())) <= PIECE_CHARS
    assert "last words" in body["data"]
    assert b"planted" not in received[0].body


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_program_needs_only_python_3_9(cloud: str, tmp_path: Path) -> None:
    with machine(cloud, tmp_path) as one:
        tree = ast.parse(one.program.read_text(), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for item in ast.walk(tree)
        for name in (
            [alias.name for alias in item.names]
            if isinstance(item, ast.Import)
            else [str(item.module)]
            if isinstance(item, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    assert "spotwave" not in imported
