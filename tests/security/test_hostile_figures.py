"""Invalid figures from machines, programs and stores: none of them reaches a bill, the ledger or a result."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spotwave.blocks.snapshots import SnapshotStore, StoreUnavailable
from spotwave.flows.shci_result import InvalidResult, parse_result
from spotwave.node.jobs.shci.calculation import CommandProgram
from spotwave.node.jobs.shci.programs.base import OutputUnreadable, SolverTask
from spotwave.node.jobs.shci.programs.command import Command
from spotwave.node.jobs.shci.programs.dice_checkpoint import Archive
from spotwave.node.jobs.shci.programs.dice_output import DiceReader
from spotwave.node.jobs.shci.programs.events import EventReader
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.ledger import Entry
from spotwave.tasks.cost.receipt import GIB, billed
from spotwave.tasks.market import learned_notes
from spotwave.tasks.market.learned import cooling_pools
from spotwave.tasks.records import Bill
from spotwave.tasks.results.convergence import iterations
from tests.node.test_programs_run import task_in
from tests.security.local_figures import an_id_that_leads_elsewhere, another_process, noted_end, noted_root
from tests.security.rows import Row
from tests.tasks.test_expected_cost import BEGUN, an_offer
from tests.tasks.test_receipt import a_machine

NAN, INF = math.nan, math.inf
HUGE = 10**400


@dataclass(frozen=True)
class Figure(Row):
    """carry_out: function that feeds the figure in and asserts the outcome."""

    carry_out: Callable[[Path], object]


def bill(sent_bytes: Any, hours: float = 1.0) -> Bill:
    machine = a_machine(an_offer(egress_usd_gib=0.09))
    return billed(machine, 60.0, BEGUN + timedelta(hours=hours), [(BEGUN, 0.25)], sent_bytes)


def never_below_its_time(sent_bytes: Any) -> Callable[[Path], object]:
    def carry_out(_: Path) -> None:
        paid = bill(sent_bytes)
        assert paid.machine_usd == pytest.approx(0.25)
        assert 0.25 <= paid.usd < 0.25 + 0.09 * 12.5e9 * 3600 / GIB + 1e-6

    return carry_out


def in_the_ledger(**fields: Any) -> Callable[[Path], object]:
    """Return a test with these values in the file of one ledger entry."""
    usual = {"job": "sw-0", "attempt": 1, "project": "p", "state": "ended", "usd": 1.0}
    moment = {"at": "2026-11-20T12:00:00Z", "until": "2026-11-20T13:00:00Z"}

    def carry_out(folder: Path) -> None:
        store = SnapshotStore(url=str(folder))
        store.note("spending/v1/months", "2026-11", {"month": "2026-11"})
        store.note("spending/v1/2026-11", "sw-0-1", usual | moment | fields)
        with pytest.raises(StoreUnavailable, match=r"[Cc]orrect that file|Remove it"):
            ledger.read(store)

    return carry_out


def not_an_entry(**fields: Any) -> Callable[[Path], object]:
    usual = {"job": "sw-0", "attempt": 1, "project": "p", "state": "reserved", "usd": 1.0, "at": BEGUN, "until": BEGUN}

    def carry_out(_: Path) -> None:
        with pytest.raises(ValidationError):
            Entry.model_validate(usual | fields)

    return carry_out


def settled_from(paid: float) -> Callable[[Path], object]:
    """Return a test with a bill that was created without validation, by `model_copy`."""

    def carry_out(_: Path) -> None:
        usual = {
            "job": "sw-0",
            "attempt": 1,
            "project": "p",
            "state": "reserved",
            "usd": 1,
            "at": BEGUN,
            "until": BEGUN,
        }
        forged = bill(0).model_copy(update={"egress_usd": paid})
        with pytest.raises(ValidationError):
            ledger.settled(Entry.model_validate(usual), "aws", "o", forged)

    return carry_out


def remembered_run(**fields: Any) -> Callable[[Path], object]:
    usual = {"kind": "k", "work": "w", "cloud": "c", "family": "f", "core_h": 1.0, "assumed": 1.0}

    def carry_out(folder: Path) -> None:
        store = SnapshotStore(url=str(folder))
        store.note("runs/v1", "sw-good", usual)
        store.note("runs/v1", "sw-bad", usual | fields)
        lines: list[str] = []
        assert learned_notes.runs(store, lines.append) == [usual]
        assert len(lines) == 1

    return carry_out


def cooling(at: Any) -> Callable[[Path], object]:
    def carry_out(folder: Path) -> None:
        store, now = SnapshotStore(url=str(folder)), datetime(2026, 11, 20, 12, tzinfo=UTC)
        store.note("losses/v1/2026-11-20", "sw-good", {"offer": "o", "what": "lost", "at": "2026-11-20T11:59:00+00:00"})
        store.note("losses/v1/2026-11-20", "sw-bad", {"offer": "p", "what": "lost", "at": at})
        assert set(cooling_pools(store, now)) == {"o"}

    return carry_out


def result_fields(**fields: Any) -> Callable[[Path], object]:
    usual = {"rhf_energy": -1.0, "variational_energy": -1.1, "total_energy": -1.2, "wall_seconds": {"run_shci": 1.0}}

    def carry_out(_: Path) -> None:
        assert parse_result(usual).total_energy == -1.2
        with pytest.raises(InvalidResult, match=f"result.json: {next(iter(fields))}"):
            parse_result(usual | fields)

    return carry_out


def own_event(**fields: Any) -> Callable[[Path], object]:
    """Return a test with these values in an iteration line of the program and in its last line, the result."""

    def carry_out(_: Path) -> None:
        usual = {"number": 1, "determinants": 5, "variational_energy": -1.0, "seconds": 0.1}
        reader = EventReader("own")
        assert reader.line(json.dumps({"event": "iteration", **usual, **fields})) is None
        answer = {"variational_energy": -1.0, "total_energy": -1.1, "determinants": 5}
        its = {"total_energy" if name == "variational_energy" else name: value for name, value in fields.items()}
        reader.line(json.dumps({"event": "result", **answer, **its}))
        with pytest.raises(ValueError, match=r"no result|not a number|not a whole|not finite"):
            reader.energies()

    return carry_out


def dice_line(line: str) -> Callable[[Path], object]:
    def carry_out(folder: Path) -> None:
        reader = DiceReader(Archive({}, 1, []), folder, folder / "a")
        assert reader.line(line) is None

    return carry_out


def users_program(*lines: str) -> Callable[[Path], object]:
    def carry_out(folder: Path) -> None:
        (folder / "say").write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
        (folder / "say").chmod(0o755)
        program = Command(
            CommandProgram(
                line=str(folder / "say"),
                variational_energy=r"E = (\S+)",
                total_energy=r"T = (\S+)",
                determinants=r"N = (\S+)",
            )
        )
        task: SolverTask = task_in(folder)
        with pytest.raises(OutputUnreadable):
            solve(program, task, on_line=lambda _: None, on_iteration=lambda one: pytest.fail(f"{one}"))

    return carry_out


def table(text: str) -> Callable[[Path], object]:
    def carry_out(folder: Path) -> None:
        (folder / "iterations.csv").write_text(text)
        found = iterations(folder / "iterations.csv")
        assert found is None or found.is_empty()

    return carry_out


LEDGER = "rejected with a message; with a limit, nothing is launched until it is corrected"
PASSED = "ignored with a warning, the others are used"
NO_ITERATION = "ignored: no iteration, no energy"
SILENT = "is ignored, as if missing"
MINE = "at least the machine's time at its price, at most the traffic that a network line can carry"

FIGURES = [
    Figure("bill", "NaN bytes sent", MINE, never_below_its_time(NAN)),
    Figure("bill", "a negative number of bytes sent", MINE, never_below_its_time(-(2**50))),
    Figure("bill", "infinitely many bytes sent", MINE, never_below_its_time(INF)),
    Figure("bill", "a pebibyte within an hour", MINE, never_below_its_time(2**50)),
    Figure("ledger", "NaN USD", LEDGER, in_the_ledger(usd=NAN)),
    Figure("ledger", "-1000 USD", LEDGER, in_the_ledger(usd=-1000.0)),
    Figure("ledger", "infinitely many hours", LEDGER, in_the_ledger(hours=INF)),
    Figure("ledger", "an unknown state", LEDGER, in_the_ledger(state="gone")),
    Figure("ledger", "10**400 USD", LEDGER, in_the_ledger(usd=HUGE)),
    Figure("ledger", "a reservation of NaN USD", "not written", not_an_entry(usd=NAN)),
    Figure("ledger", "a reservation of -1 USD", "not written", not_an_entry(usd=-1.0)),
    Figure("ledger", "an attempt settled with NaN USD", "not written", settled_from(NAN)),
    Figure("ledger", "an attempt settled with -5 USD", "not written", settled_from(-5.0)),
    Figure("store", "a run of NaN core-hours", PASSED, remembered_run(core_h=NAN)),
    Figure("store", "a run with text for core-hours", PASSED, remembered_run(core_h="x")),
    Figure("store", "a run of negative speed", PASSED, remembered_run(assumed=-1.0)),
    Figure("store", "an interruption without a time", PASSED, cooling("soon")),
    Figure("store", "an interruption that is a list", PASSED, cooling([])),
    Figure("result.json", "NaN for its energy", "Failed, with one line", result_fields(total_energy=NAN)),
    Figure("result.json", "a text for its energy", "Failed, with one line", result_fields(rhf_energy="-1.0")),
    Figure("result.json", "infinite seconds", "Failed, with one line", result_fields(wall_seconds={"run_shci": INF})),
    Figure("result.json", "a list for its seconds", "Failed, with one line", result_fields(wall_seconds=[1])),
    Figure("result.json", "negative determinants", "Failed, with one line", result_fields(determinants=-1)),
    Figure("result.json", "true for its determinants", "Failed, with one line", result_fields(determinants=True)),
    Figure("program", "NaN for an energy", NO_ITERATION, own_event(variational_energy=NAN)),
    Figure("program", "a text for an energy", NO_ITERATION, own_event(variational_energy="-1")),
    Figure("program", "10**400 determinants", NO_ITERATION, own_event(determinants=HUGE)),
    Figure("program", "negative determinants", NO_ITERATION, own_event(determinants=-5)),
    Figure("dice", "1e+999 determinants", NO_ITERATION, dice_line("1 0 1e-3 1e+999 -1.0 5 1.0")),
    Figure("dice", "determinants that are not a number", NO_ITERATION, dice_line("1 0 1e-3 1.2.3 -1.0 5 1.0")),
    Figure("dice", "an energy of 1e+999", NO_ITERATION, dice_line("1 0 1e-3 5 -1.0e+999 5 1.0")),
    Figure("user's program", "nan for its energies", NO_ITERATION, users_program("E = nan", "T = nan")),
    Figure("user's program", "inf determinants", NO_ITERATION, users_program("N = inf", "E = -1e999", "T = -1")),
    Figure("user's program", "1e300 determinants", NO_ITERATION, users_program("N = 1e300", "E = -1", "T = -1")),
    Figure("iterations.csv", "other columns", "no picture is drawn", table("a,b\n1,2\n")),
    Figure("iterations.csv", "text and NaN values", "no picture is drawn",
           table("iteration,determinants,variational_energy,seconds\nx,y,z,1\n1,2,nan,1\n3,99999999999999999999,-1,1\n")),
    Figure("iterations.csv", "not a table", "no picture is drawn", table("\x00\xff" * 1000)),
    Figure("root.json", "the controller's own pid", "not taken for the machine's process", another_process),
    Figure("root.json", "a text for a pid", SILENT, noted_root({"pid": "x", "started": 1.0})),
    Figure("root.json", "-1 for a pid", SILENT, noted_root({"pid": -1, "started": 1.0})),
    Figure("root.json", "10**400 for a pid", SILENT, noted_root(f'{{"pid": 1{"0" * 400}, "started": 1.0}}')),
    Figure("root.json", "NaN for its start", SILENT, noted_root({"pid": os.getpid(), "started": NAN})),
    Figure("root.json", "a list", SILENT, noted_root("[]")),
    Figure("ended.json", "NaN for its end", SILENT, noted_end('{"by": "us", "at": NaN}')),
    Figure("ended.json", "a time before its launch", "billed from its launch", noted_end('{"by": "us", "at": 1}')),
    Figure("ended.json", "3000 brackets", SILENT, noted_end("[" * 3000)),
    Figure("machine's id", "a path", "rejected, and nothing is removed", an_id_that_leads_elsewhere),
]  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES, ids=str)
def test_invalid_figure_is_not_used(figure: Figure, tmp_path: Path) -> None:
    figure.carry_out(tmp_path)


ROWS: list[Row] = [*FIGURES]
