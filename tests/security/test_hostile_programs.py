"""Programs that look for secrets, or that destroy or replace Spotwave's files on the job's machine.

Some tests run a program as a job does; others let a real agent end a machine with damaged folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spotwave.node.contract import (
    CHECKPOINT_DIR,
    ENGINE_PID_FILE,
    OUTCOME_FILE,
    OUTPUT_DIR,
    PROGRESS_FILE,
    RESULT_FILE,
    Ending,
    Outcome,
    Phase,
)
from spotwave.node.runtime.environment import inherited
from spotwave.node.runtime.process import lines, supervised
from spotwave.node.storage import checkpoint
from tests.node import agent_kit
from tests.node.agent_kit import Api, Running, Start, until
from tests.security.rows import Row
from tests.security.tried import params, rows_of

agent, api = agent_kit.agent, agent_kit.api

KEPT_AWAY = "the program does not see it"
SECRETS = {
    "the key of the Prefect API": "PREFECT_API_AUTH_STRING",
    "the key of Prefect Cloud": "PREFECT_API_KEY",
    "the folder of Prefect": "PREFECT_HOME",
    "the folder of the job's secrets": "SPOTWAVE_SECRETS",
    "the key of an AWS account": "AWS_SECRET_ACCESS_KEY",
    "the token of an AWS session": "AWS_SESSION_TOKEN",
    "the key of a Google account": "GOOGLE_APPLICATION_CREDENTIALS",
    "the key of an Azure account": "AZURE_CLIENT_SECRET",
    "the address of Azure's identity endpoint": "IDENTITY_ENDPOINT",
    "a remote's password": "RCLONE_CONFIG_DRIVE_TOKEN",
    "the user's own SSH agent": "SSH_AUTH_SOCK",
    "a database's password": "PGPASSWORD",
    "a GitHub token": "GITHUB_TOKEN",
    "the settings file that PySCF executes": "PYSCF_CONFIG_FILE",
    "its rank in another MPI job": "PMIX_RANK",
    "a library to preload": "LD_PRELOAD",
}
NEEDED = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OMP_PROC_BIND": "false",
    "OMPI_MCA_btl": "self",
    "UCX_TLS": "tcp",
    "CUDA_VISIBLE_DEVICES": "0",
    "https_proxy": "http://proxy.example:3128",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "SPOTWAVE_WORK": "/machine/folder",
    "SPOTWAVE_MACHINE": "sw-1-1",
}
ENVIRONMENT = [Row("program", f"looks for {attack} in its environment", KEPT_AWAY) for attack in SECRETS]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a program whose parent process has all of these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS.values():
            patch.setenv(name, "a secret word" if name != "LD_PRELOAD" else "")
        for name, value in NEEDED.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("seen")
        with supervised(["env"], folder, {"OMP_NUM_THREADS": "2"}) as process:
            found = list(lines(process, lambda: None))
            assert process.wait() == 0
    return dict(line.split("=", 1) for line in found if "=" in line)


@pytest.mark.parametrize(("row", "name"), params(ENVIRONMENT, SECRETS.values()))
def test_program_inherits_no_secret(seen: dict[str, str], row: Row, name: str) -> None:
    assert name not in seen
    assert "a secret word" not in seen.values()


def test_program_inherits_what_it_needs(seen: dict[str, str]) -> None:
    assert {name: seen.get(name) for name in NEEDED} == NEEDED
    assert seen["OMP_NUM_THREADS"] == "2"
    assert "PYTHONPATH" in seen, "needed to find Spotwave's own programs"
    assert inherited({"A": "1", "PATHS": "1", "XLC_ALL": "1"}) == {}


def seal(work: Path, name: str = "state") -> None:
    (work / "scf").write_text("state")
    checkpoint.seal(work / CHECKPOINT_DIR, "001-00001", {"scf": work / "scf", name: work / "scf"}, step="run_shci")


def bad_name(work: Path) -> None:
    seal(work, "program/a\u00a0b\tc\udcff")


def removes_all(work: Path) -> None:
    seal(work)
    for folder in (OUTPUT_DIR, CHECKPOINT_DIR, "scratch"):
        shutil.rmtree(work / folder, ignore_errors=True)
    (work / OUTPUT_DIR).mkdir()
    (work / RESULT_FILE).write_text("{}")  # as the node flow does, after the program


def no_folders(work: Path) -> None:
    for folder in (OUTPUT_DIR, CHECKPOINT_DIR):
        shutil.rmtree(work / folder, ignore_errors=True)


def folders_are_files(work: Path) -> None:
    no_folders(work)
    for folder in (OUTPUT_DIR, CHECKPOINT_DIR):
        (work / folder).write_text("a file")


def folders_are_links(work: Path) -> None:
    no_folders(work)
    for folder in (OUTPUT_DIR, CHECKPOINT_DIR):
        (work / folder).symlink_to("/etc")


def damaged(work: Path) -> None:
    seal(work)
    (work / CHECKPOINT_DIR / "001-00001/scf").write_text("other")


def no_manifest(work: Path) -> None:
    seal(work)
    (work / CHECKPOINT_DIR / "001-00001/manifest.json").unlink()


def later_generations(work: Path) -> None:
    seal(work)
    for name in ("001-99999", "999-99999"):
        (work / CHECKPOINT_DIR / name).mkdir()


def pipe_in_checkpoint(work: Path) -> None:
    seal(work)
    for name in ("scf", "manifest.json"):
        (work / CHECKPOINT_DIR / "001-00001" / name).unlink()
        os.mkfifo(work / CHECKPOINT_DIR / "001-00001" / name)


def pipes_for_notes(work: Path) -> None:
    for name in (PROGRESS_FILE, ".heartbeat.json.part"):
        (work / name).unlink(missing_ok=True)
        os.mkfifo(work / name)


def folders_for_notes(work: Path) -> None:
    for name in (PROGRESS_FILE, "heartbeat.json", "left_out.txt"):
        (work / name).unlink(missing_ok=True)
        (work / name).mkdir()


def foreign_process(work: Path) -> None:
    (work / ENGINE_PID_FILE).write_text("1")


SENT = "the machine ends at once, and the output is on the remote"
ENDS = "the machine ends at once"
HURTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("a checkpoint file's name has a tab and Latin-1", bad_name, SENT),
    ("removes output, checkpoints and scratch", removes_all, SENT),
    ("output and checkpoints are missing at the end", no_folders, ENDS),
    ("output and checkpoints are files", folders_are_files, ENDS),
    ("output and checkpoints are links to /etc", folders_are_links, ENDS),
    ("writes into a sealed checkpoint", damaged, SENT),
    ("removes a checkpoint's manifest", no_manifest, SENT),
    ("makes folders with the names of later checkpoints", later_generations, SENT),
    ("pipes in the place of a checkpoint's files", pipe_in_checkpoint, SENT),
    ("pipes in the place of the agent's notes", pipes_for_notes, SENT),
    ("folders in the place of the agent's notes", folders_for_notes, SENT),
    ("another process in the place of its engine", foreign_process, SENT),
]
HURT_ROWS = rows_of("program", HURTS)


@pytest.mark.parametrize(
    ("row", "hurt"),
    [pytest.param(row, hurt, id=row.attack) for row, (_, hurt, _) in zip(HURT_ROWS, HURTS, strict=True)],
)
def test_machine_with_damaged_folders_ends(row: Row, hurt: Callable[[Path], None], api: Api, agent: Start) -> None:
    """The deadline is far away, so that a step that retries until then would not end within the test."""
    machine = agent(deadline=time.time() + 3600)
    until((machine.work / "worker.log").exists)
    (machine.work / RESULT_FILE).write_text("{}")
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as engine:
        try:
            (machine.work / ENGINE_PID_FILE).write_text(str(engine.pid))
            until(lambda: api.leases and api.leases[-1].phase is Phase.WORKING)
            hurt(machine.work)
            Outcome(Ending.COMPLETED, "all done").write(machine.work / OUTCOME_FILE)
        finally:
            engine.kill()
    machine.ended(60)
    assert_ended(machine, row)
    assert api.leases[-1].phase is Phase.ENDED


def assert_ended(machine: Running, row: Row) -> None:
    assert machine.outcome.ending is Ending.COMPLETED, "no second machine is rented"
    if row.outcome == SENT:
        assert (machine.remote / RESULT_FILE).exists()
    if row.attack.startswith("makes folders"):
        assert machine.outcome.generation == "001-00001", "the valid checkpoint is sent"
    assert not (machine.remote / "output/passwd").exists()
    assert (machine.remote / "attempts/1/agent.log").exists()


ROWS = [*ENVIRONMENT, *HURT_ROWS]
