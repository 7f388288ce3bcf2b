"""Machines that an earlier version rented or started are found, by tags or notes, and can be ended."""

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
    """(tags, packed offer) as that wing takes them from a machine."""
    if cloud == "gcp":
        metadata = {item["key"]: item["value"] for item in seen["metadata"]}
        return seen["labels"], metadata[OFFER]
    tags = seen["instance" if cloud == "aws" else "tags"]
    return tags, offer_in(tags)


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_machine_is_known_by_its_tags(earlier: Earlier, cloud: str) -> None:
    told = earlier.json("tags.json")[cloud]
    wanted = Machine.model_validate(told["read"])
    tags, offer = tags_on(told["on the machine"], cloud)
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
    assert found.offer.spot_usd_h > 0, "else its offer is taken as unknown, and its bill would be nothing"


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_what_lies_beside_a_machine_is_known_by_its_tags(earlier: Earlier, cloud: str) -> None:
    """Disks, interfaces, secrets: the job, and how long it may need them."""
    told = earlier.json("tags.json")[cloud]
    seen, wanted = told["on the machine"], Machine.model_validate(told["read"])
    parts = {
        "aws": lambda: [seen["volume"], seen["network-interface"], seen["spot-instances-request"]],
        "gcp": lambda: [seen["disk labels"], *seen["secret labels"].values()],
        "azure": lambda: [*seen["interface tags"], *seen["secret tags"].values()],
    }[cloud]()
    for tags in parts:
        assert tags["spotwave"] == wanted.job_key
        if not (cloud == "gcp" and tags in seen["secret labels"].values()):  # GCP's secrets have an expiry of their own
            assert deadline_in(tags) == wanted.deadline


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_an_offer_packed_then_is_the_same_offer_now(earlier: Earlier, cloud: str) -> None:
    told = earlier.json("tags.json")["functions"][cloud]
    offer = unpacked(told["packed"])
    assert offer == unpacked(offer_in(told["in_pieces"]))
    assert unpacked(packed(offer)) == unpacked(offer_in(in_pieces(offer))) == offer


def test_a_token_names_the_attempt(earlier: Earlier) -> None:
    """Of the claims alone: the key of the proxy that signed it is not here, so they are signed again."""
    key = "k" * 32
    for cloud in ("aws", "gcp", "azure"):
        told = earlier.json("tags.json")[cloud]["token"]
        claims, algorithm = told["claims"], told["header"]["alg"]
        token = AttemptToken.read(jwt.encode({**claims, "exp": 2**33}, key, algorithm=algorithm), key)
        assert (token.job_key, token.attempt, str(token.lease_id)) == (earlier.jobs[cloud], 1, claims["lease"])
        again = AttemptToken(token.job_key, token.attempt, token.lease_id, claims["exp"]).signed(key)
        assert jwt.decode(again, options={"verify_signature": False}) == claims
        assert jwt.get_unverified_header(again) == told["header"]


def test_the_notes_of_local_machines(earlier: Earlier) -> None:
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


def test_a_local_machine_that_lives_on_is_found_and_ended(earlier: Earlier, tmp_path: Path) -> None:
    """Its first process carries what the earlier version gave it: its id, its folder, and its tags."""
    folder = tmp_path.resolve()
    source = next((earlier.home / "machines").glob(f"{earlier.jobs['open']}-*"))
    place = folder / source.name
    shutil.copytree(source, place)
    (place / "ended.json").unlink()
    (place / "notice.json").unlink(missing_ok=True)
    tags = (place / "machine.json").read_text()
    mark = {ENV_MACHINE: place.name, ENV_WORK: str(place / "work"), ENV_TAGS: tags}
    assert sorted(mark) == ["SPOTWAVE_MACHINE", "SPOTWAVE_TAGS", "SPOTWAVE_WORK"], "as the earlier versions name them"
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


def test_the_notes_of_server_and_worker(earlier: Earlier) -> None:
    for name in ("server", "controller-worker"):
        note = Note.read(earlier.folder / f"live/{name}.json")
        assert note is not None
        assert note.url.startswith("http://127.0.0.1:")
        assert note.url.endswith("/api")
        assert note.process() is None, "a process of this computer that has its number is another"


def test_the_home_remembers_its_port_and_its_database(earlier: Earlier, tmp_path: Path) -> None:
    home = Home(tmp_path.resolve())
    shutil.copytree(earlier.home / "run", home.run)
    port = (home.run / "port").read_text()
    assert server.own_url(home) == f"http://127.0.0.1:{port}/api"
    assert server.on_sqlite(home)


def test_the_prefect_toml_and_the_profile_are_known_as_ours(earlier: Earlier, tmp_path: Path) -> None:
    """One of the two: c70ec19 wrote the first, ccd189d the second."""
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
