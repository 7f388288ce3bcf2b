"""Machines that an earlier version rented or started are found, by tags or files, and can be terminated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from spotwave.blocks.attempt_token import AttemptToken
from spotwave.blocks.local.machine_notes import end_of, machine_of, notice_of, root_of
from spotwave.blocks.local.machines import ENV_TAGS, Machines
from spotwave.blocks.models import Machine, MachineState
from spotwave.blocks.tags import OFFER, deadline_in, in_pieces, machine_from, offer_in, packed, unpacked
from spotwave.deployments import api, server
from spotwave.deployments.home import Home
from spotwave.deployments.processes import Note
from spotwave.deployments.profile import remove_profile
from spotwave.node.contract import ENV_MACHINE, ENV_WORK
from tests.earlier_versions.conftest import Earlier

SLEEPS = "import signal; print('started', flush=True); signal.pause()"


def tags_on(seen: dict[str, Any], cloud: str) -> tuple[dict[str, str], str]:
    """Return (tags, packed offer) as that cloud's code reads them from a machine."""
    if cloud == "gcp":
        metadata = {item["key"]: item["value"] for item in seen["metadata"]}
        return seen["labels"], metadata[OFFER]
    tags = seen["instance" if cloud == "aws" else "tags"]
    return tags, offer_in(tags)


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_machine_is_recognized_by_its_tags(earlier: Earlier, cloud: str) -> None:
    recorded = earlier.json("tags.json")[cloud]
    wanted = Machine.model_validate(recorded["read"])
    tags, offer = tags_on(recorded["on the machine"], cloud)
    found = machine_from(
        tags,
        offer,
        cloud=cloud,
        id_=wanted.id,
        region=wanted.region,
        zone=wanted.zone,
        launched_at=wanted.launched_at,
    )
    assert found == wanted
    assert found.job_key == earlier.jobs[cloud]
    assert found.offer.spot_usd_h > 0, "otherwise its offer counts as unknown, and its bill would be zero"


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_resources_of_a_machine_are_recognized_by_their_tags(earlier: Earlier, cloud: str) -> None:
    """Disks, interfaces, secrets: the job, and its deadline."""
    recorded = earlier.json("tags.json")[cloud]
    seen, wanted = recorded["on the machine"], Machine.model_validate(recorded["read"])
    parts = {
        "aws": lambda: [seen["volume"], seen["network-interface"], seen["spot-instances-request"]],
        "gcp": lambda: [seen["disk labels"], *seen["secret labels"].values()],
        "azure": lambda: [*seen["interface tags"], *seen["secret tags"].values()],
    }[cloud]()
    for tags in parts:
        assert tags["spotwave"] == wanted.job_key
        if not (cloud == "gcp" and tags in seen["secret labels"].values()):  # GCP's secrets have their own expiry
            assert deadline_in(tags) == wanted.deadline


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_packed_offer_is_unpacked_unchanged(earlier: Earlier, cloud: str) -> None:
    recorded = earlier.json("tags.json")["functions"][cloud]
    offer = unpacked(recorded["packed"])
    assert offer == unpacked(offer_in(recorded["in_pieces"]))
    assert unpacked(packed(offer)) == unpacked(offer_in(in_pieces(offer))) == offer


def test_token_names_the_attempt(earlier: Earlier) -> None:
    """Only the claims: the proxy key that signed the token is not stored, so they are signed again."""
    key = "k" * 32
    for cloud in ("aws", "gcp", "azure"):
        recorded = earlier.json("tags.json")[cloud]["token"]
        claims, algorithm = recorded["claims"], recorded["header"]["alg"]
        token = AttemptToken.read(jwt.encode({**claims, "exp": 2**33}, key, algorithm=algorithm), key)
        assert (token.job_key, token.attempt, str(token.lease_id)) == (earlier.jobs[cloud], 1, claims["lease"])
        again = AttemptToken(token.job_key, token.attempt, token.lease_id, claims["exp"]).signed(key)
        assert jwt.decode(again, options={"verify_signature": False}) == claims
        assert jwt.get_unverified_header(again) == recorded["header"]


def test_files_of_local_machines_are_read(earlier: Earlier) -> None:
    folders = sorted((earlier.home / "machines").iterdir())
    assert folders
    for folder in folders:
        machine = machine_of((folder / "machine.json").read_text(), folder.name)
        assert machine is not None
        assert machine.offer.instance_type == "local-1"
        pid, started = root_of(folder / "root.json")
        assert pid > 1
        assert abs(started - machine.launched_at.timestamp()) < 600
        end = end_of(folder / "ended.json")
        assert end["at"] > started
        if (folder / "notice.json").exists():
            assert notice_of(folder / "notice.json") in ("terminate", "shutdown")
        place = Machines(earlier.home / "machines").place(machine)
        assert place == folder
    assert Machines(earlier.home / "machines").find() == []


def test_running_local_machine_is_found_and_terminated(earlier: Earlier, tmp_path: Path) -> None:
    """Its first process has the environment that the earlier version set: its id, its folder, and its tags."""
    folder = tmp_path.resolve()
    source = next((earlier.home / "machines").glob(f"{earlier.jobs['open']}-*"))
    place = folder / source.name
    shutil.copytree(source, place)
    (place / "ended.json").unlink()
    (place / "notice.json").unlink(missing_ok=True)
    tags = (place / "machine.json").read_text()
    mark = {ENV_MACHINE: place.name, ENV_WORK: str(place / "work"), ENV_TAGS: tags}
    assert sorted(mark) == ["SPOTWAVE_MACHINE", "SPOTWAVE_TAGS", "SPOTWAVE_WORK"], "names of the earlier versions"
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPS], env={**os.environ, **mark}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"started\n"
        root = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        (place / "root.json").write_text(json.dumps(root))
        machines = Machines(folder)
        (machine,) = machines.find(earlier.jobs["open"])
        assert machine == machine_of(tags, place.name)
        assert machines.state(machine) is MachineState.RUNNING
        machines.terminate(machine)
        assert process.wait(30) == -signal.SIGKILL
        assert machines.find() == []
        ended = machines.billed_until(machine)
        assert isinstance(ended, datetime)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_notes_of_server_and_worker_are_read(earlier: Earlier) -> None:
    for name in ("server", "controller-worker"):
        note = Note.read(earlier.folder / f"live/{name}.json")
        assert note is not None
        assert note.url.startswith("http://127.0.0.1:")
        assert note.url.endswith("/api")
        assert note.process() is None, "a current process with its pid is a different one"


def test_home_keeps_its_port_and_its_database(earlier: Earlier, tmp_path: Path) -> None:
    home = Home(tmp_path.resolve())
    shutil.copytree(earlier.home / "run", home.run)
    port = (home.run / "port").read_text()
    assert server.own_url(home) == f"http://127.0.0.1:{port}/api"
    assert server.on_sqlite(home)


def test_prefect_toml_and_profile_of_spotwave_are_recognized(earlier: Earlier, tmp_path: Path) -> None:
    """One of the two exists: c70ec19 wrote the first, ccd189d the second."""
    home = Home(tmp_path.resolve())
    left, profiles = earlier.folder / "prefect.toml.txt", earlier.folder / "user/profiles.toml"
    assert left.exists() != profiles.exists()
    if left.exists():
        shutil.copyfile(left, home.path / "prefect.toml")
        api.remove_prefect_toml(home.path)
        assert not (home.path / "prefect.toml").exists()
        return
    assert tomllib.loads(profiles.read_text())["active"] == "spotwave"
    shutil.copyfile(profiles, tmp_path / "profiles.toml")
    with temporary_settings({PREFECT_PROFILES_PATH: tmp_path / "profiles.toml"}):
        assert remove_profile()
    assert not (tmp_path / "profiles.toml").exists()
