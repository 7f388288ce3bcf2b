"""`spotwave prices` and `why` without server and account, with snapshots in a folder."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.deployments.cli import app, main
from spotwave.deployments.offer_options import interval
from tests.blocks.test_market import an_offer

# Replaces sys.argv, from which the command reads its arguments.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

Run = Callable[..., "Output"]
FIELDS = {"vcpus": 16, "cores": 8.0, "memory_gib": 64.0, "on_demand_usd_h": 0.8, "egress_usd_gib": 0.09}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(url=str(tmp_path / "home" / "store"))


@dataclass(frozen=True)
class Output:
    """A command's output and exit code."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def spotwave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command with its own home and without a configured Prefect API.

    It runs in this process, because a new process takes seconds.
    """
    monkeypatch.setenv("SPOTWAVE_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> Output:
        monkeypatch.setattr(sys, "argv", ["spotwave", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return Output(code, told.out, told.err)

    return run


def publish(store: SnapshotStore) -> None:
    for cloud, prices in {"aws": (0.4, 0.2, 0.3), "gcp": (0.25,)}.items():
        offers = [
            an_offer(**FIELDS, cloud=cloud, instance_type=f"t{n}.4xlarge", spot_usd_h=usd)
            for n, usd in enumerate(prices)
        ]
        store.publish(cloud, Market.of([*offers, an_offer(cloud=cloud)]), {}, datetime(2026, 5, 4, 3, tzinfo=UTC))


def test_table(spotwave: Run, store: SnapshotStore) -> None:
    publish(store)
    done = spotwave("prices", "--vcpus", "16-32", "--memory", "64-256", "--top", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "cloud"
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["aws", "t1.4xlarge"],
        ["gcp", "t0.4xlarge"],
        ["aws", "t2.4xlarge"],
    ]
    assert "0.2000" in lines[1]
    assert "75%" in lines[1]
    assert "4 of 6 offers are eligible." in done.stdout
    assert "2026-05-04 03:00 UTC" in done.stdout
    assert "azure: no snapshot yet" in done.stdout


def test_json_and_csv_have_all_terms(spotwave: Run, store: SnapshotStore) -> None:
    publish(store)
    told = json.loads(spotwave("prices", "--json", "--top", "1", "--objective", "price").stdout)
    (first,) = told["ranked"]
    terms = ("machine_usd", "disk_usd", "ip_usd", "egress_usd")
    assert first["expected_usd"] == pytest.approx(sum(first[term] for term in terms))
    assert first["offer"]["spot_usd_h"] == 0.2
    assert told["rejected"] == [{"reason": "min_vcpus = 16", "count": 2, "example": "c7i.xlarge"}]
    (row,) = csv.DictReader(io.StringIO(spotwave("prices", "--csv", "--top", "1").stdout))
    assert float(row["expected_usd"]) == pytest.approx(first["expected_usd"])
    assert row["instance_type"] == "t1.4xlarge"


def test_unknown_gpu(spotwave: Run, store: SnapshotStore) -> None:
    done = spotwave("prices", "--gpu", "A100 60GB")
    assert done.returncode == 1
    nearest = "the nearest are A100 80GB, A100, V100"
    remedy = f"{nearest}. Use one of these names."
    assert done.stderr == f"spotwave: --gpu: 'A100 60GB' is not a GPU of any cloud; {remedy}\n"


def test_no_offer_fits(spotwave: Run, store: SnapshotStore) -> None:
    publish(store)
    done = spotwave("prices", "--vcpus", "64-")
    assert done.returncode == 1
    assert "is excluded by min_vcpus = 64" in done.stdout
    assert done.stdout.count("near: ") == 3


def test_why_offer(spotwave: Run, store: SnapshotStore) -> None:
    publish(store)
    done = spotwave("why", "aws t0.4xlarge")
    assert done.returncode == 0, done.stderr
    assert "place 4 of 4" in done.stdout
    assert "USD to finish" in done.stdout
    assert "interruption unknown, taken as 0.03 per hour" in done.stdout
    assert "not eligible: min_vcpus = 16" in spotwave("why", "c7i.xlarge").stdout
    unknown = spotwave("why", "sw-0123456789ab")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("spotwave: sw-0123456789ab: no such job, and no such offer")


def test_invalid_option_gives_one_line(tmp_path: Path) -> None:
    """Runs in its own process, as a user starts it."""
    command = [sys.executable, "-m", "spotwave.deployments.cli", "prices", "--vcpus", "many"]
    environment = os.environ | {"SPOTWAVE_HOME": str(tmp_path / "home"), "COLUMNS": "160"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "spotwave: --vcpus: 'many' is not a valid range; write 16-32, 16, 16- or -32\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "64-2"], "--memory: '64-2' is not a valid range"),
        (["--top", "0"], "--top: must be at least 1, not 0"),
        (["--work", "nan"], "--work: must be a positive number, not nan"),
        (["--cloud", "nimbus"], "--cloud: unknown cloud 'nimbus'; choose from local, aws, gcp, azure"),
    ],
)
def test_invalid_options_are_named(options: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        app(["prices", *options], exit_on_error=False)


def test_intervals() -> None:
    assert [interval("--vcpus", text) for text in ("16-32", "16", "16-", "-32")] == [
        (16, 32),
        (16, 16),
        (16, None),
        (None, 32),
    ]
