"""Bad input gives one clear line with the parameter and the remedy, before anything is launched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.rclone import RcloneRemote
from tests.conftest import Embedded
from tests.flows.kit import local_cloud, refused

pytestmark = pytest.mark.slow

H2 = "H 0 0 0; H 0 0 0.74"
# Parameters, the beginning of the message, and a further part of it.
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown basis": ({"basis": "6-31gg"}, "basis:", "6-31g"),
    "unknown element": ({"molecule": "Qq 0 0 0"}, "molecule", "Qq"),
    "broken geometry": ({"molecule": "H 0 0 0; H 0 0"}, "molecule", "H 0 0"),
    "odd electrons": ({"molecule": "H 0 0 0"}, "spin", "1"),
    "eps1 too big": ({"eps1": 2.0}, "eps1:", "0.1"),
    "eps2 above eps1": ({"eps1": 1e-4, "eps2": 1e-3}, "eps2:", "0.0001"),
    "too many vCPUs": ({"requirements": {"min_vcpus": 4096}}, "requirements:", "min_vcpus = 4096"),
    "dearest price": ({"requirements": {"max_usd_h": -1.0}}, "requirements:", "max_usd_h = -1"),
    "unknown GPU": ({"requirements": {"gpu": "A1000"}}, "requirements.gpu:", "the nearest are A100"),
    "architecture": (
        {"program": "dice", "requirements": {"architectures": ["arm64"]}},
        "requirements.architectures:",
        "dice runs on x86_64",
    ),
    "too little memory": (
        {"basis": "aug-cc-pvqz", "molecule": H2, "requirements": {"max_memory_gib": 0.2}},
        "requirements.max_memory_gib:",
        "8 bytes x n^4/8",
    ),
    "more memory than any offer": ({"basis": "aug-cc-pvqz"}, "requirements:", "min_memory_gib"),
    "missing program": ({"program": "dice"}, "program:", "Dice"),
    "own program without a line": ({"program": "command"}, "command", ""),
    "no cloud": ({"clouds": []}, "clouds:", "local-cloud/here"),
    "unknown cloud": ({"clouds": ["local-cloud/nowhere"]}, "clouds:", "local-cloud/nowhere"),
    "not a cloud": ({"clouds": ["rclone-remote/here"]}, "clouds:", "Cloud"),
    "unknown remote": ({"remote": "rclone-remote/nowhere"}, "remote:", "prefect block ls"),
    "unknown access": ({"access": "here"}, "access:", "<block type>/<document>"),
    "sync period": ({"sync_minutes": 0}, "sync_minutes:", "5 is usual"),
    "hours": ({"max_hours": float("nan")}, "max_hours:", "hours"),
    "machines": ({"max_attempts": 0}, "max_attempts:", "1 to 100"),
    "cap": ({"max_usd": -1.0}, "max_usd:", "USD"),
    "project": ({"project": "../others"}, "project:", "letters"),
    "unknown budget": ({"budget": "budget/nowhere"}, "budget:", "budget/nowhere"),
    "job to continue": ({"continue_job": "../sw-0123456789ab"}, "continue_job:", "sw-0123456789ab"),
    "unknown job to continue": ({"continue_job": "sw-000000000000"}, "continue_job:", "there is no job"),
}


# One case of each kind of check; the others in `make test-all`.
ALWAYS = {
    "unknown basis",
    "odd electrons",
    "dearest price",
    "unknown cloud",
    "unknown remote",
    "cap",
    "job to continue",
}
EACH = [pytest.param(case, marks=[] if case in ALWAYS else pytest.mark.thorough) for case in CASES]


@pytest.mark.parametrize("case", EACH)
def test_bad_input(embedded: Embedded, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    parameters, begins, part = CASES[case]
    machines = sorted(embedded.home.machines.iterdir())
    message = refused(**parameters)
    assert message.startswith(begins), message
    assert part in message
    assert "\n" not in message.strip()
    assert "Traceback" not in message
    assert sorted(embedded.home.machines.iterdir()) == machines, "nothing was launched"
    assert local_cloud(embedded.home).find() == []


def test_unwritable_remote(
    embedded: Embedded, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    file = tmp_path / "a-file"
    file.write_text("a file cannot contain a remote")
    RcloneRemote(path=str(file / "folder")).save("unwritable", overwrite=True)
    message = refused(molecule=H2, basis="sto-3g", remote="rclone-remote/unwritable")
    assert message.startswith("remote:"), message
