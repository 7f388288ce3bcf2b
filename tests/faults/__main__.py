"""`make faults`: run the whole fault matrix, or a part of it. Ends with 'N cases: 0 lost, 0 doubled, 0 orphans'."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from spotwave.deployments.database import SETTING
from spotwave.deployments.home import Home
from spotwave.deployments.pools import ENV_JOBS
from spotwave.flows.loop.placement_rounds import ENV_LONGEST_PAUSE
from tests.conftest import brought_up  # first: it sets the environment before Prefect is imported
from tests.faults.disks import may_mount
from tests.faults.fault_catalog import CLOUDS, FAULTS, RENTED, Case, all_cases
from tests.faults.harness import harness_on
from tests.faults.hooked import Hooked
from tests.faults.kept import Kept
from tests.faults.runner import each_pair, run_calls, run_cases, sample
from tests.faults.table import as_markdown, closing, line_of
from tests.faults.testbeds import temporary_folder
from tests.faults.verdict import Verdict
from tests.services import postgres

# Slots for jobs; and a waiting job reads the market every few seconds.
SETTINGS = {ENV_JOBS: "16", ENV_LONGEST_PAUSE: "4"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="only cases with these words in their names")
    parser.add_argument("--cloud", action="append", choices=CLOUDS, help="only on this cloud (repeat for several)")
    parser.add_argument("--sample", type=int, help="run a random sample of this size, drawn by the seed")
    parser.add_argument("--pairs", action="store_true", help="run every pair of step and fault once, on one cloud")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--at-once", type=int, default=4, help="number of parallel jobs")
    parser.add_argument("--table", type=Path, help="write the table to this file, as Markdown")
    parser.add_argument("--keep", type=Path, help="keep verdicts in this file, and skip cases with a good one")
    parser.add_argument("--list", action="store_true", help="only list the cases that are known in advance")
    parser.add_argument(
        "--part",
        choices=("controllers", "steps", "calls"),
        help="only faults of a whole controller, only other steps of a job, or only its API calls",
    )
    options = parser.parse_args()
    matches = partial(_matches, options.only, options.cloud or CLOUDS)
    cases = list(filter(matches, all_cases()))
    if options.part is not None:
        cases = [one for one in cases if options.part == ("controllers" if FAULTS[one.fault].shared else "steps")]
    if options.pairs:
        cases = each_pair(cases, options.seed)

    def some(found: list[Case]) -> list[Case]:
        return found if options.sample is None else sample(found, options.sample, options.seed)

    kept = Kept(options.keep)
    cases = kept.lacking(some(cases))
    if not may_mount():
        impossible = [case for case in cases if FAULTS[case.fault].mounts]
        sys.stdout.write(f"{len(impossible)} cases skipped: mounting requires root\n")
        cases = [case for case in cases if case not in impossible]
    sys.stdout.write(f"{len(cases)} cases, seed {options.seed}\n")
    if options.list:
        sys.stdout.writelines(f"{case.name}\n" for case in cases)
        return 0

    def report(verdict: Verdict) -> None:
        kept.add(verdict)
        sys.stdout.write(f"{len(kept.verdicts):3d} {line_of(verdict)}\n")
        sys.stdout.flush()

    # Servers, mounts and machines are cleaned up on exit, so a termination signal must exit in the same way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with temporary_folder() as folder:
        hooked = Hooked.make(folder / "environment")
        with (
            postgres() as database,
            brought_up(Home(folder / "home"), hooked.python, **{SETTING: database.url(), **SETTINGS}) as embedded,
            harness_on(embedded, hooked, folder) as harness,
        ):
            for verdict in run_cases(harness, cases, options.at_once):
                report(verdict)
            if options.part == "calls" or (options.part is None and options.sample is None and not options.pairs):
                clouds = [cloud for cloud in RENTED if cloud in (options.cloud or CLOUDS)]
                for verdict in run_calls(
                    harness, clouds, lambda found: kept.lacking(some(list(filter(matches, found)))), options.at_once
                ):
                    report(verdict)
    if options.table:
        options.table.write_text(as_markdown(kept.verdicts, options.seed))
    for verdict in kept.verdicts:
        if not verdict.good:
            sys.stdout.write(f"{line_of(verdict)}\n")
    sys.stdout.write(f"{closing(kept.verdicts)}\n")
    return 0 if all(verdict.good for verdict in kept.verdicts) else 1


def _matches(words: list[str], clouds: Sequence[str], case: Case) -> bool:
    return case.cloud in clouds and all(word in case.name for word in words)


if __name__ == "__main__":
    sys.exit(main())
