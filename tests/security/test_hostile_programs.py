"""Programs that look at what is not theirs, and that destroy or replace what is ours: the job's own machine.

Part runs a program as a job does; part lets a real agent go through the end of a machine whose folders were hurt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import pytest

from node import checkpoint
from node.basis import check_basis
from node.calculation import BadInput, Calculation
from node.contract import (
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
from node.hartree_fock import DifferentCalculation, load_hartree_fock
from node.programs.environment import inherited
from node.programs.process import lines, supervised
from tests.node import test_agent
from tests.node.chemistry import hartree_fock
from tests.node.test_agent import Api, Running, Start, until
from tests.security.rows import Row

agent, api = test_agent.agent, test_agent.api

KEPT_AWAY = "the program does not see it"
SECRETS = {
    "the key of the Prefect API": "PREFECT_API_AUTH_STRING",
    "the key of Prefect Cloud": "PREFECT_API_KEY",
    "where Prefect lies": "PREFECT_HOME",
    "where the job's secrets lie": "SPOTWAVE_SECRETS",
    "the key of an AWS account": "AWS_SECRET_ACCESS_KEY",
    "the token of an AWS session": "AWS_SESSION_TOKEN",
    "the key of a Google account": "GOOGLE_APPLICATION_CREDENTIALS",
    "the key of an Azure account": "AZURE_CLIENT_SECRET",
    "where Azure's identity answers": "IDENTITY_ENDPOINT",
    "a remote's password": "RCLONE_CONFIG_DRIVE_TOKEN",
    "the user's own SSH agent": "SSH_AUTH_SOCK",
    "a database's password": "PGPASSWORD",
    "a token of GitHub's": "GITHUB_TOKEN",
    "the settings file that PySCF executes": "PYSCF_CONFIG_FILE",
    "the part that it plays in another MPI job": "PMIX_RANK",
    "a library to be loaded first": "LD_PRELOAD",
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
    "SPOTWAVE_WORK": "/work",
    "SPOTWAVE_MACHINE": "sw-1-1",
}
ENVIRONMENT = [Row("program", f"looks for {attack} in its environment", KEPT_AWAY) for attack in SECRETS]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a program finds whose parent has all of these."""
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


@pytest.mark.parametrize(
    ("row", "name"), [pytest.param(row, name, id=name) for row, name in zip(ENVIRONMENT, SECRETS.values(), strict=True)]
)
def test_a_program_inherits_no_secret(seen: dict[str, str], row: Row, name: str) -> None:
    assert name not in seen
    assert "a secret word" not in seen.values()


def test_a_program_inherits_what_it_needs(seen: dict[str, str]) -> None:
    assert {name: seen.get(name) for name in NEEDED} == NEEDED
    assert seen["OMP_NUM_THREADS"] == "2"
    assert "PYTHONPATH" in seen, "our own programs are found by it"
    assert inherited({"A": "1", "PATHS": "1", "XLC_ALL": "1"}) == {}


EVALUATED = "nothing of it is executed, and it is refused in one line"
BASES = {
    "a file, by @ and a contraction": "evil.nw@1s",
    "a file in a folder": "folder/evil.nw@1s",
    "a file": "evil.nw",
    "an empty name before @": "@1s",
    "several lines": "H S\n__import__('os').system('touch pwned') 1",
    "a name of another file system": "~/evil.nw@1s",
    "a letter that looks like @": "evil.nw\uff201s",
}
BASIS_ROWS = [Row("basis", attack, EVALUATED) for attack in BASES]


@pytest.mark.parametrize(
    ("row", "name"),
    [pytest.param(row, name, id=row.attack) for row, name in zip(BASIS_ROWS, BASES.values(), strict=True)],
)
def test_a_basis_set_is_a_name(row: Row, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "BASIS\nH S\n 1.0 __import__('os').system('touch pwned')\nEND\n"
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "evil.nw", tmp_path / "folder/evil.nw"):
        path.write_text(evil)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="basis") as caught:
        check_basis(name, ["H"])
    assert not (tmp_path / "pwned").exists()
    assert "\n" not in str(caught.value)


def test_pyscf_itself_evaluates_nothing(tmp_path: Path) -> None:
    """Behind the check too, and whoever imported it first."""
    from pyscf import gto

    (tmp_path / "evil.nw").write_text(f"H S\n 1.0 __import__('os').system('touch {tmp_path}/pwned')\n")
    with pytest.raises(ValueError, match="parse"):
        gto.basis.load(str(tmp_path / "evil.nw"), "H")
    with pytest.raises(ValueError, match="parse|float"):
        gto.M(atom=f"H 0 0 __import__('os').system('touch${{IFS}}{tmp_path}/pwned')", verbose=0)
    assert not (tmp_path / "pwned").exists()


SETTINGS = {
    "in the folder where it runs": ({}, ".pyscf_conf.py"),
    "in the home folder": ({"HOME": "home"}, "home/.pyscf_conf.py"),
    "named by the environment": ({"PYSCF_CONFIG_FILE": "conf.py"}, "conf.py"),
}
SETTINGS_ROWS = [Row("settings of PySCF", attack, "it is not executed") for attack in SETTINGS]


@pytest.mark.parametrize("module", ["node.calculation", "node.programs.pyscf_program"])
def test_no_settings_file_of_somebody_else_is_executed(module: str, tmp_path: Path) -> None:
    """All three at once: PySCF takes the first that there is."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for changes, name in SETTINGS.values():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
        environment |= {key: str(tmp_path / value) for key, value in changes.items()}
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert not (tmp_path / "pwned").exists()


WATER = Calculation(molecule="H 0 0 0; H 0 0 0.74", basis="sto-3g")
PAYLOAD = "__import__('os').system('touch {}')"


def _evaluated(file: h5py.File, pwned: Path) -> None:
    told = json.loads(file["mol"][()])
    told["atom"] = told["basis"] = told["ecp"] = PAYLOAD.format(pwned)
    del file["mol"]
    file["mol"] = json.dumps(told)


def _old_form(file: h5py.File, pwned: Path) -> None:
    del file["mol"]
    file["mol"] = PAYLOAD.format(pwned)


def _pointers(file: h5py.File, pwned: Path) -> None:
    told = json.loads(file["mol"][()])
    told["_bas"][0][5] = 2**31 - 2
    del file["mol"]
    file["mol"] = json.dumps(told)


def _nested(file: h5py.File, pwned: Path) -> None:
    del file["mol"]
    file["mol"] = "[" * 100_000


def _elsewhere(file: h5py.File, pwned: Path) -> None:
    del file["scf/e_tot"]
    file["scf/e_tot"] = h5py.ExternalLink(str(pwned), "x")


def _zeros(file: h5py.File, pwned: Path) -> None:
    del file["scf/mo_coeff"]
    file["scf"].create_dataset("mo_coeff", shape=(10**7, 10**7), dtype="f8", chunks=(1000, 1000))


STORED: dict[str, Callable[[h5py.File, Path], None]] = {
    "Python in the place of atoms, basis and ECP": _evaluated,
    "Python in the place of the molecule": _old_form,
    "a pointer out of its arrays": _pointers,
    "a hundred thousand brackets": _nested,
    "a link to another file": _elsewhere,
    "orbitals of 800 TB, all zero": _zeros,
}
STORED_ROWS = [
    Row("checkpoint of the SCF", attack, "nothing is executed; the run ends with one line") for attack in STORED
]


@pytest.fixture(scope="module")
def chkfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hartree_fock(WATER, tmp_path_factory.mktemp("scf")).chkfile


@pytest.mark.parametrize(("row"), STORED_ROWS, ids=[row.attack for row in STORED_ROWS])
def test_a_checkpoint_of_the_scf_is_numbers(row: Row, chkfile: Path, tmp_path: Path) -> None:
    hurt = Path(shutil.copy(chkfile, tmp_path / "scf.chk"))
    with h5py.File(hurt, "r+") as file:
        STORED[row.attack](file, tmp_path / "pwned")
    before = load_hartree_fock(WATER, chkfile).energy
    # That which is evaluated is not looked at any more: then the rest is whole, and taken.
    if STORED[row.attack] is _evaluated:
        assert load_hartree_fock(WATER, hurt).energy == before
    else:
        with pytest.raises(DifferentCalculation, match="not a readable SCF checkpoint"):
            load_hartree_fock(WATER, hurt)
    assert not (tmp_path / "pwned").exists()


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


def whom_to_signal(work: Path) -> None:
    (work / ENGINE_PID_FILE).write_text("1")


SENT = "the machine ends at once, and the output is on the remote"
ENDS = "the machine ends at once"
HURTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("a checkpoint file's name has a tab and Latin-1", bad_name, SENT),
    ("removes output, checkpoints and scratch", removes_all, SENT),
    ("output and checkpoints are gone at the end", no_folders, ENDS),
    ("output and checkpoints are files", folders_are_files, ENDS),
    ("output and checkpoints are links to /etc", folders_are_links, ENDS),
    ("writes into a sealed checkpoint", damaged, SENT),
    ("removes a checkpoint's manifest", no_manifest, SENT),
    ("pipes in the place of a checkpoint's files", pipe_in_checkpoint, SENT),
    ("pipes in the place of the agent's notes", pipes_for_notes, SENT),
    ("folders in the place of the agent's notes", folders_for_notes, SENT),
    ("another process in the place of its engine", whom_to_signal, SENT),
]
HURT_ROWS = [Row("program", attack, outcome) for attack, _, outcome in HURTS]


@pytest.mark.parametrize(
    ("row", "hurt"),
    [pytest.param(row, hurt, id=row.attack) for row, (_, hurt, _) in zip(HURT_ROWS, HURTS, strict=True)],
)
def test_a_machine_whose_folders_were_hurt_ends(row: Row, hurt: Callable[[Path], None], api: Api, agent: Start) -> None:
    """A deadline far away: what is tried again until then does not end within the test."""
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
    assert not (machine.remote / "output/passwd").exists()
    assert (machine.remote / "attempts/1/agent.log").exists()


ROWS = [*ENVIRONMENT, *BASIS_ROWS, *SETTINGS_ROWS, *STORED_ROWS, *HURT_ROWS]
