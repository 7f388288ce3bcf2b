"""The closing table, the listing of machines, and parameters from the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import Machine, MachineState, Offer
from spotwave.deployments.closing_table import closing_table
from spotwave.deployments.commands.jobs import parsed
from spotwave.deployments.machines import Found, as_table, total

_URL = "http://127.0.0.1:4200/runs/flow-run/5b2d4f5e-3c9f-4a51-9f67-1f1c3a8a5a10"
_RESULT = {
    "rhf_energy": -151.9797610271,
    "variational_energy": -152.23786,
    "total_energy": -152.254163,
    "threshold_error": 2.3e-4,
    "determinants": 1234567,
    "attempts": [{"attempt": 1, "machine": "sw-0123456789ab-1"}, {"attempt": 2, "machine": "sw-0123456789ab-2"}],
    "wall_seconds": {"hartree_fock": 1.25, "run_shci": 40.5},
    "cost": 0.0123,
}


def test_closing_table_shows_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(_RESULT))
    table = closing_table(tmp_path, _URL, "shci")
    for expected in (
        "-151.9797610271 Ha",
        "-152.25416 +/- 2e-04 Ha",
        "1,234,567",
        "2 (sw-0123456789ab-1, sw-0123456789ab-2)",
        "41.8 s (hartree_fock 1.2, run_shci 40.5)",
        "0.0123 USD",
        str(tmp_path),
        _URL,
    ):
        assert expected in table
    starts = {line.index("  ") for line in table.splitlines() if line.startswith(("attempts", "total energy"))}
    assert starts == {len("attempts"), len("total energy")}


def test_closing_table_shows_missing_values_as_missing(tmp_path: Path) -> None:
    table = closing_table(tmp_path / "collected-elsewhere", _URL, "shci")
    assert [line.split()[-1] for line in table.splitlines()[:4]] == ["-"] * 4


def test_machine_listing() -> None:
    launched = datetime(2025, 5, 4, 10, 0, tzinfo=UTC)
    offer = Offer(
        cloud="local",
        instance_type="local-2",
        region="here",
        family="local",
        vcpus=2,
        cores=2,
        memory_gib=4,
        architecture="x86_64",
        spot_usd_h=0.0125,
        disk_usd_gib_month=0.1,
        ip_usd_h=0.004,
        notice_s=30,
        seen_at=launched,
    )
    machine = Machine(
        cloud="local",
        id="m",
        region="here",
        offer=offer,
        job_key="sw-0123456789ab",
        attempt=2,
        launched_at=launched,
        disk_gib=73,
    )
    console = Console(record=True, width=120)
    found = Found(LocalCloud(), machine, MachineState.RUNNING)
    now = launched + timedelta(minutes=75)
    console.print(as_table([found], now))
    line = console.export_text().splitlines()[1]
    assert line.split() == [
        "sw-0123456789ab-2",
        "sw-0123456789ab",
        "2",
        "local",
        "local-2",
        "here",
        "running",
        "1:15",
        "0.0265",
        "0.0331",
    ]
    assert total([found, found], now) == "2 machines, 0.0530 USD/h, 0.0663 USD so far"


def test_parameters_are_json_or_text() -> None:
    pairs = ["basis=sto-3g", "frozen_core=true", "eps1=5e-4", 'requirements={"min_vcpus": 2}', "molecule=O 0 0 0=1"]
    assert parsed(pairs) == {
        "basis": "sto-3g",
        "frozen_core": True,
        "eps1": 5e-4,
        "requirements": {"min_vcpus": 2},
        "molecule": "O 0 0 0=1",
    }


@pytest.mark.parametrize("pair", ["basis", "=sto-3g"])
def test_malformed_parameter_is_reported(pair: str) -> None:
    with pytest.raises(ValueError, match=f"-p {pair}: write it as key=value"):
        parsed([pair])
