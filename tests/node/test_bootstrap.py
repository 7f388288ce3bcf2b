"""The user data of a cloud's machine, run by emulated computers from boot until the machine has ended itself."""

from __future__ import annotations

import base64
import json
import re
import stat
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from spotwave.blocks.user_data import render
from tests.blocks.machine_kit import brief, until
from tests.emulators.computer import Computer, has_namespaces
from tests.emulators.metadata import GcpMetadata
from tests.emulators.server import Emulator, Fault, Request, Response

MODES = [
    pytest.param(True, id="namespaces", marks=pytest.mark.skipif(not has_namespaces(), reason="needs root")),
    pytest.param(False, id="plain"),
]
SECRET = "planted-Zq8-word"

# Takes the place of the agent: writes what it found, then does what the test needs.
AGENT = """
import json, os, signal, sys, time
work, secrets = os.environ["SPOTWAVE_WORK"], os.environ["SPOTWAVE_SECRETS"]
def saved(number, frame):
    time.sleep(0.2)
    open(os.path.join(work, "saved"), "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, saved)
found = {
    "brief": json.load(open(os.path.join(work, "brief.json"))),
    "environment": dict(os.environ),
    "secrets": {name: os.stat(os.path.join(secrets, name)).st_mode for name in os.listdir(secrets)},
    "code": __file__,
    "pid": os.getpid(),
}
with open(os.path.join(work, "found.part"), "w") as out:
    json.dump(found, out)
os.rename(out.name, os.path.join(work, "found.json"))
"""
WAITS = AGENT + "while True: time.sleep(0.05)\n"


class Cloud(Emulator):
    """Secret Manager, deletion of the instance, and Prefect's artifacts: all calls of a machine before its work."""

    def __init__(self, metadata: GcpMetadata) -> None:
        super().__init__()
        self._metadata = metadata
        self.computer: Computer | None = None
        self.lease: dict[str, object] = {}
        self.files = {
            "rclone.conf": f"[drive]\ntype = local\ntoken = {SECRET}\n",
            "api.json": json.dumps({"PREFECT_API_URL": f"{self.url}/api", "PREFECT_API_KEY": SECRET}),
        }

    def name_of(self, request: Request) -> str:
        return f"{request.method} {request.path}"

    def answer(self, request: Request) -> Response:
        if request.method == "PATCH":
            self.lease = json.loads(request.body)
            return Response(b"", 204)
        if request.headers.get("authorization") != f"Bearer {self._metadata.token}":
            return Response(b"{}", 403)
        if request.method == "DELETE":
            assert self.computer is not None
            threading.Thread(target=self.computer.cut_power).start()
            return Response(b"{}")
        data = base64.b64encode(json.dumps(self.files).encode()).decode()
        return Response(json.dumps({"payload": {"data": data}}).encode())


@dataclass
class Place:
    """A computer, its cloud, and the remote."""

    cloud: Cloud
    computer: Computer
    remote: Path

    def found(self) -> dict[str, dict[str, object]]:
        path = self.computer.work / "found.json"
        until(path.exists)
        return dict(json.loads(path.read_text()))

    @property
    def log(self) -> str:
        return (self.remote / "attempts/1/bootstrap.log").read_text()

    @property
    def deletions(self) -> int:
        return len([call for call in self.cloud.calls if call.startswith("DELETE")])


@contextmanager
def booted(
    folder: Path,
    isolated: bool,
    agent: str = WAITS,
    deadline_s: float = 600.0,
    code: bool = True,
    baked: bool = True,
    edit: tuple[str, str] = ("", ""),
    fault: Fault | None = None,
    builds: bool = False,
) -> Iterator[Place]:
    remote = folder / "remote"
    if code:
        (remote / "code").mkdir(parents=True)
        with zipfile.ZipFile(remote / "code/spotwave-0.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("spotwave/__init__.py", "")
            wheel.writestr("spotwave/node/__init__.py", "")
            wheel.writestr("spotwave/node/agent/__main__.py", agent)
    metadata = GcpMetadata("sw-1", project="chemistry", zone="europe-west3-a")
    with Cloud(metadata) as cloud:
        settings = {
            "SPOTWAVE_SECRET": "spotwave-sw-0123456789ab",
            "SPOTWAVE_SECRET_AT": cloud.url,
            "SPOTWAVE_API_AT": cloud.url,
            "SPOTWAVE_PROJECT": "chemistry",
            "SPOTWAVE_GRACE": "0",
        }
        settings_of_attempt = replace(
            brief().brief, remote=str(remote), deadline=time.time() + deadline_s, builds=builds
        )
        user_data = render(settings_of_attempt, settings=settings, cloud="gcp")
        assert edit[0] in user_data
        user_data = user_data.replace(*edit) if edit[0] else user_data
        port = int(cloud.url.rpartition(":")[2])
        computer = Computer(
            "i-1", folder / "i-1", user_data, metadata, [port], lambda: None, isolated=isolated, baked=baked
        )
        cloud.computer = computer
        if fault is not None:
            cloud.fail(fault)
        computer.boot()
        try:
            yield Place(cloud, computer, remote)
        finally:
            computer.cut_power()


@pytest.mark.parametrize("isolated", MODES)
def test_a_machine_from_boot_to_its_end(tmp_path: Path, isolated: bool) -> None:
    with booted(tmp_path, isolated, AGENT) as place:
        assert place.computer.wait(30)
        found = place.found()
        assert place.deletions == 1
    assert found["brief"]["job_key"] == "sw-0123456789ab"
    assert str(found["code"]).startswith(str(place.computer.work / "app/spotwave/node"))
    assert {name: stat.S_IMODE(int(str(mode))) for name, mode in found["secrets"].items()} == {
        "rclone.conf": 0o600,
        "api.json": 0o600,
    }
    assert found["environment"]["SPOTWAVE_CLOUD"] == "gcp"
    assert found["environment"]["HOME"] == str(place.computer.work / "home")
    if isolated:
        assert found["environment"]["SPOTWAVE_SECRETS"] == "/run/spotwave/secrets"
    assert not (place.remote / "attempts").exists()  # no error was reported
    # The secret is only in its own folder, not in logs, scripts or environments.
    everything = [
        path
        for path in place.computer.folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.parent.name != "secrets"
    ]
    assert everything
    assert not [path for path in everything if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("isolated", MODES)
def test_a_shutdown_reaches_the_agent_and_lets_it_save(tmp_path: Path, isolated: bool) -> None:
    with booted(tmp_path, isolated) as place:
        place.found()
        place.computer.shut_down(30)
        assert (place.computer.work / "saved").exists()
        assert not place.computer.alive


@pytest.mark.parametrize("isolated", MODES)
def test_a_crash_of_the_agent_ends_the_machine_and_is_reported(tmp_path: Path, isolated: bool) -> None:
    with booted(
        tmp_path, isolated, AGENT + "print(os.environ and 'half way', flush=True)\nos.kill(os.getpid(), 9)\n"
    ) as place:
        assert place.computer.wait(30)
        assert place.deletions == 1
    assert "half way" in place.log
    assert "the agent ended with exit code 137" in place.log


def test_the_deadline_ends_a_machine_whose_agent_and_script_were_killed(tmp_path: Path) -> None:
    """With systemd's timer, and without systemd."""
    with ExitStack() as stack:
        places = [
            stack.enter_context(booted(tmp_path / str(isolated), isolated, deadline_s=8))
            for isolated in {has_namespaces(), False}
        ]
        for place in places:
            place.found()
            for process in place.computer.processes:
                with suppress(psutil.NoSuchProcess):
                    if "guard" not in process.cmdline() and process.name() != "sleep":
                        process.kill()
        for place in places:
            assert place.computer.wait(60)
            assert place.deletions == 1


def test_a_failed_start_is_reported_on_the_remote_and_in_the_lease(tmp_path: Path) -> None:
    with booted(tmp_path, has_namespaces(), code=False) as place:
        assert place.computer.wait(60)
        assert place.deletions == 1
    assert "bootstrap failed while fetching the code from the remote" in place.log
    assert "directory not found" in place.log
    lease = json.loads("".join(dict(place.cloud.lease["metadata_"]).values()))  # type: ignore[call-overload]
    assert lease["outcome"]["ending"] == "lost"
    assert "bootstrap failed while fetching the code from the remote" in lease["outcome"]["reason"]


def test_a_disk_too_small_for_the_installation_is_reported(tmp_path: Path) -> None:
    with booted(tmp_path, has_namespaces(), baked=False, edit=("free >= 2048", "free >= 1000000000")) as place:
        assert place.computer.wait(60)
        assert place.deletions == 1
    assert re.search(r"disk: \d+ MiB free, .*raise disk_gib", str(place.cloud.lease["data"]))


def test_a_secret_that_cannot_be_read_ends_the_machine(tmp_path: Path) -> None:
    hasty = ("PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30, 30, 30)", "PAUSES_S = (0.01,)")
    refuses = Fault(lambda request: "/secrets/" in request.path, lambda request, answer: Response(b"{}", 403))
    with booted(tmp_path, has_namespaces(), edit=hasty, fault=refuses) as place:
        assert place.computer.wait(60)
        assert place.deletions == 1
        assert "HTTP 403" in (place.computer.work / "bootstrap.log").read_text()


def test_build_tools_are_installed_only_for_a_program_that_is_built(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    (tools / "apt-get").chmod(0o755)
    # Ignore the tools of this computer, as if the image had none.
    bare = ("&& ! { command -v git && command -v cmake && command -v g++; }", f"&& export PATH={tools}:$PATH")
    with booted(tmp_path / "plain", has_namespaces(), edit=bare) as place:
        place.found()
    assert not (tmp_path / "asked").exists()
    with booted(tmp_path / "builds", has_namespaces(), edit=bare, builds=True) as place:
        place.found()
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.endswith(" update")
    assert " install git build-essential " in install
