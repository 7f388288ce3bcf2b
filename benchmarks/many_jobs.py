"""Load of many concurrent jobs, each with its own local machine, through all of Spotwave's processes.

    python -m benchmarks.many_jobs --jobs 40                       on PostgreSQL
    python -m benchmarks.many_jobs --sqlite --jobs 8,12,16,24      find the limit of SQLite

Prints a Markdown table, and at the end whether anything was lost, duplicated or left over. Memory is PSS. Linux only.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from prefect.client.orchestration import get_client

from benchmarks._crowd_kit import Crowd, brought_up, limit, until
from benchmarks._crowd_load import CONTROLLER, MACHINE, ROLES, Load, Meter, Probe
from spotwave.deployments.database import SETTING
from spotwave.deployments.home import Home
from spotwave.deployments.pools import ENV_JOBS
from tests.services import postgres

_JOB_S = 60.0  # time limit per job: on two cores a job needs about 10 s to start
_IDLE_S = 20.0  # to measure the idle server and the benchmark's own requests, which are subtracted
_HUNG_S = 180.0  # an API that has not answered for so long does not recover
_STEPS = ("start", "hold", "end")


@dataclass(frozen=True)
class Report:
    """The result of one run with many jobs."""

    jobs: int
    place: str
    most_machines: int
    together: int
    meter: Meter
    pss: Mapping[str, list[float]]  #: MiB of every process, by role
    states: Mapping[str, int]
    faults: list[str]

    def load(self, role: str) -> float:
        """Return CPU seconds per second and job while all jobs run, without the load of the idle server."""
        hold, idle = (
            self.meter.cpu[step].get(role, 0.0) / max(self.meter.seconds[step], 1e-9) for step in ("hold", "idle")
        )
        return max(0.0, hold - idle) / self.jobs

    def lines(self) -> list[str]:
        """Return the report as Markdown."""
        n, wall = self.jobs, sum(self.meter.seconds[step] for step in _STEPS)
        lines = [
            f"{n} jobs at once on {self.place}, {datetime.now(UTC):%Y-%m-%d}, {psutil.cpu_count()} vCPUs "
            f"({_cpu_name()}), {psutil.virtual_memory().total / (1 << 30):.0f} GiB:",
            "",
            f"- started in {self.meter.seconds['start']:.0f} s, held for {self.meter.seconds['hold']:.0f} s, ended in "
            f"{self.meter.seconds['end']:.0f} s; from first start to last end {wall:.0f} s",
            f"- at the same time: {self.most_machines} machines; {self.together} node runs by their own clocks",
            f"- jobs: {', '.join(f'{count} {name}' for name, count in self.states.items())}",
            "",
            "| process | number | MiB each | MiB | CPU s per job: to start | per hour | to end |",
            "|--|--|--|--|--|--|--|",
        ]
        for role in ROLES:
            if (mib := self.pss.get(role)) is None:
                continue
            starting, ended = (self.meter.cpu[step].get(role, 0.0) / n for step in ("start", "end"))
            lines.append(
                f"| {role} | {len(mib)} | {sum(mib) / len(mib):.0f} | {sum(mib):.0f} | {starting:.2f} | "
                f"{3600 * self.load(role):.0f} | {ended:.2f} |"
            )
        total = [sum(self.meter.cpu[step].values()) for step in _STEPS]
        hourly = 3600 * sum(map(self.load, ROLES))
        lines.append(
            f"| all | {sum(map(len, self.pss.values()))} | | {sum(map(sum, self.pss.values())):.0f} | "
            f"{total[0] / n:.2f} | {hourly:.0f} | {total[2] / n:.2f} |"
        )
        unseen = sum(self.meter.busy[step] for step in _STEPS) - sum(total)
        lines += [
            "",
            f"In addition, {unseen / n:.1f} CPU s per job for processes too short to be sampled, and for others.",
            "",
        ]
        lines += ["| API, ms | answers | p95 | longest | of 10 s or more | failed |", "|--|--|--|--|--|--|"]
        for step, seen in self.meter.answers.items():
            lines.append(
                f"| {step} | {len(seen.seconds)} | {1000 * seen.p95:.0f} | {1000 * seen.longest:.0f} | {seen.stalls} | "
                f"{len(seen.failures)} |"
            )
        return [*lines, "", *self._thousand()]

    def _thousand(self) -> list[str]:
        """Return the controller's resources for 1,000 jobs on rented machines, extrapolated from this run."""
        fixed = sum(sum(self.pss.get(role, [])) for role in CONTROLLER)
        machine = sum(sum(self.pss.get(role, [])) for role in MACHINE) / self.jobs
        starting = sum(self.meter.cpu["start"].get(role, 0.0) for role in CONTROLLER) / self.jobs
        cores = {role: self.load(role) * 1000 for role in CONTROLLER}
        return [
            f"The controller with its server and database: {fixed / 1024:.1f} GiB. Extrapolated to 1,000 jobs at once "
            f"on rented machines: {sum(cores.values()):.1f} cores while they run, of which the server "
            f"{cores['server']:.1f}, the database {cores['PostgreSQL']:.1f}, the controller {cores['controller']:.1f}; "
            f"{starting * 1000 / 60:.0f} CPU minutes to start them all. "
            f"Spotwave uses {machine:.0f} MiB on each machine."
        ]


def run(jobs: int, sqlite: bool, hold_s: float) -> Report:
    """Run that many jobs in a separate home."""
    with TemporaryDirectory(prefix="spotwave-crowd-") as folder, nullcontext() if sqlite else postgres() as database:
        home = Home(Path(folder).resolve())
        settings = {} if database is None else {SETTING: database.url(), ENV_JOBS: str(jobs)}
        with brought_up(home, settings) as api, get_client(sync_client=True) as client:
            if sqlite:
                limit(client, jobs)
            crowd = Crowd.of(home, client)
            with Load(home.path, None if database is None else database.pid) as load, Probe(api.url) as probe:
                pss, meter = _through(crowd, jobs, hold_s, load, probe)
                hung = probe.silent_s > _HUNG_S
            return Report(
                jobs=jobs,
                place="SQLite" if sqlite else "PostgreSQL",
                most_machines=load.most_machines,
                together=crowd.together(),
                meter=meter,
                pss=pss,
                states={"of unknown state": jobs} if hung else crowd.states(),
                faults=[f"the API did not answer for {_HUNG_S:.0f} s: stopped"] if hung else crowd.faults(),
            )


def _through(
    crowd: Crowd, jobs: int, hold_s: float, load: Load, probe: Probe
) -> tuple[Mapping[str, list[float]], Meter]:
    """Start the jobs, keep them running, and let them end."""

    def hung() -> bool:
        return probe.silent_s > _HUNG_S

    patience_s = jobs * _JOB_S + 120
    time.sleep(5)  # so that the start of the server is not counted
    meter = Meter(load, probe)
    time.sleep(_IDLE_S)
    meter.ended("idle")
    crowd.start(jobs)
    until("every job has its machine", lambda: crowd.at_the_gate() >= jobs, patience_s, hung)
    meter.ended("start")
    time.sleep(hold_s / 2)
    pss = load.pss_mib()
    time.sleep(hold_s / 2)
    meter.ended("hold")
    crowd.open_gate()
    until("every job has ended", lambda: crowd.ended() >= jobs, patience_s, hung)
    meter.ended("end")
    return pss, meter


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="40", help="number of concurrent jobs; several runs in sequence: 4,8,12")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite, also beyond its limit")
    parser.add_argument("--hold", type=float, default=60.0, help="seconds to keep all jobs running")
    arguments = parser.parse_args()
    wrong = 0
    for jobs in map(int, arguments.jobs.split(",")):
        report = run(jobs, arguments.sqlite, arguments.hold)
        print("\n".join(report.lines()), flush=True)
        for fault in report.faults:
            print(f"FAULT {fault}", flush=True)
        wrong += len(report.faults) + (report.together != jobs)
        verdict = "nothing lost, duplicated or left over" if not report.faults else f"{len(report.faults)} faults"
        print(f"\n{jobs} jobs, {report.together} at once: {verdict}\n", flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
