"""A random sample of the fault matrix (`make faults` runs all of it), and tests of the harness."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Embedded
from tests.emulators.gcp_routes import ROUTES
from tests.faults.breakpoints import CONTROLLERS_OWN
from tests.faults.disks import may_mount
from tests.faults.fault_catalog import CLOUDS, FAULTS, Case, all_cases
from tests.faults.harness import Harness, harness_on
from tests.faults.hooked import Hooked
from tests.faults.kept import Kept
from tests.faults.runner import each_pair, run_cases, sample
from tests.faults.table import closing, line_of
from tests.faults.verdict import Verdict

SEED = int(os.environ.get("FAULTS_SEED", time.time()))
SIZE = int(os.environ.get("FAULTS_SAMPLE", "2"))  # `make test-all` draws more
AT_ONCE = 3  # parallel jobs; more are no faster on two cores, and run into their deadlines


def possible(cases: list[Case]) -> list[Case]:
    """Return the cases that are possible on this computer within a minute or two."""
    quick = [case for case in cases if FAULTS[case.fault].down_s < 60]
    return [case for case in quick if may_mount() or not FAULTS[case.fault].mounts]


@pytest.fixture
def harness(embedded: Embedded, hooked: Hooked, tmp_path: Path) -> Harness:
    with harness_on(embedded, hooked, tmp_path) as found:
        yield found


@pytest.mark.thorough
@pytest.mark.slow(minutes=5)
@pytest.mark.timeout(2400)
def test_a_sample_of_the_matrix(harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    """FAULTS_SEED=<seed> draws the same sample again."""
    cases = sample(possible(all_cases()), SIZE, SEED)
    verdicts = list(run_cases(harness, cases, at_once=min(SIZE, AT_ONCE)))
    with capsys.disabled():
        print(f"\nfaults: seed {SEED}: {closing(verdicts)}")
    assert all(verdict.good for verdict in verdicts), f"seed {SEED}\n" + "\n".join(map(line_of, verdicts))


def test_case_names_are_unique() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names) > 200


def test_sample_has_every_fault_before_any_is_repeated() -> None:
    cases = all_cases()
    drawn = sample(cases, len(FAULTS), seed=7)
    assert {case.fault for case in drawn} == set(FAULTS)
    assert drawn == sample(cases, len(FAULTS), seed=7)
    assert drawn != sample(cases, len(FAULTS), seed=8)


def test_each_pair_of_step_and_fault_is_drawn_once() -> None:
    cases = all_cases()
    drawn = each_pair(cases, seed=7)
    assert len(drawn) == len({(case.fault, case.step) for case in cases})
    assert {case.cloud for case in drawn} == set(CLOUDS)


def test_closing_line_counts_failed_cases() -> None:
    case = all_cases()[0]
    verdicts = [Verdict(case), Verdict(case, lost=["wrong energy"]), Verdict(case, orphans=["disk d-1"])]
    assert closing(verdicts) == "3 cases: 1 lost, 0 doubled, 1 orphans"
    assert "LOST: wrong energy" in line_of(verdicts[1])


def test_matrix_is_continued_from_kept_verdicts(tmp_path: Path) -> None:
    cases, path = all_cases(), tmp_path / "verdicts"
    done, wrong = Verdict(cases[0], "completed", 2, 50.0, 0.001), Verdict(cases[1], lost=["wrong energy"])
    kept = Kept(path)
    for verdict in (done, wrong):
        kept.add(verdict)
    assert kept.verdicts == [done, wrong]
    again = Kept(path)
    assert again.verdicts == [done]
    lacking = again.lacking(cases)
    assert set(lacking) == set(cases) - {cases[0]}
    pairs = {(case.fault, case.step) for case in cases} - {(cases[0].fault, cases[0].step)}
    assert {(case.fault, case.step) for case in lacking[: len(pairs)]} == pairs, "each pair once before any is repeated"


@pytest.fixture
def planned(hooked: Hooked, tmp_path: Path) -> list[str]:
    """Return the command of a process that imports a module and then writes the time into a file."""
    code = (
        "import sys, time; from spotwave.node.contract import write_text; from pathlib import Path; "
        "write_text(Path(sys.argv[1]), str(time.time()))"
    )
    return [hooked.python, "-c", code, str(tmp_path / "out")]


def test_process_waits_at_its_planned_call(hooked: Hooked, planned: list[str], tmp_path: Path) -> None:
    plan = hooked.plan("sw-waits", call="spotwave.node.contract:write_text", attempt=2)
    environment = {**os.environ, "SPOTWAVE_REMOTE": "here:jobs/sw-waits"}
    subprocess.run(planned, env={**environment, "SPOTWAVE_ATTEMPT": "1"}, check=True, timeout=60)
    (tmp_path / "out").unlink()
    with subprocess.Popen(planned, env={**environment, "SPOTWAVE_ATTEMPT": "2"}) as process:
        limit = time.monotonic() + 60
        while not plan.waits:
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert not (tmp_path / "out").exists()
        plan.go_on()
        assert process.wait(60) == 0
    assert (tmp_path / "out").exists()
    plan.forget()


def test_machine_has_no_prefect_collections_but_the_controller_has(hooked: Hooked) -> None:
    lock = Path(__file__).parents[2] / "node" / "requirements.lock"
    code = "import importlib, sys; importlib.import_module(sys.argv[1])"
    on_machine = {**os.environ, "SPOTWAVE_REMOTE": "here:jobs/sw-bare", "SPOTWAVE_ATTEMPT": "1"}
    for name in CONTROLLERS_OWN:
        assert f"\n{name.replace('_', '-')}==" not in lock.read_text()
    for environment, code_expected in ((on_machine, 1), (os.environ, 0)):
        command = [hooked.python, "-c", code, "prefect_redis"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code_expected, done.stderr


def test_machine_has_its_planned_clock(hooked: Hooked, planned: list[str], tmp_path: Path) -> None:
    if not hooked.has_clock:
        pytest.skip("no C compiler here")
    hooked.plan("sw-clock", clock=600)
    environment = {**os.environ, "SPOTWAVE_REMOTE": "here:jobs/sw-clock", "SPOTWAVE_ATTEMPT": "1"}
    subprocess.run(planned, env=environment, check=True, timeout=60)
    ahead = json.loads((tmp_path / "out").read_text()) - time.time()
    assert 540 < ahead < 600


def test_gcp_calls_differ_in_their_first_word() -> None:
    """As `tests.faults.calls` does: the rest is the target of the call."""
    kinds = [kind for _, _, kind in ROUTES]
    assert len({kind.partition(" ")[0] for kind in kinds}) == len(kinds)
