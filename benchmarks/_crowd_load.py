"""Measures the load of many jobs: memory and CPU of their processes by role, and response times of the API."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import httpx
import psutil

from spotwave.blocks.local.processes import environments
from spotwave.deployments.processes import ENV_MARK
from spotwave.node.contract import ENV_MACHINE, ENV_WORK
from tests.processes import words

_TICK = os.sysconf("SC_CLK_TCK")
_PROBE_S = 0.25
_PATIENCE_S = 120.0
STALL_S = 10.0
#: The roles, in the order of the table.
CONTROLLER = ("server", "PostgreSQL", "controller", "other of the controller")
MACHINE = ("agent", "machine's worker", "node run", "other on machines")
ROLES = (*CONTROLLER, *MACHINE)


class Load:
    """Samples all processes of a home once a second, in a separate thread."""

    def __init__(self, home: Path, postgres: int | None) -> None:
        self._home, self._postgres = home, postgres
        self._cpu: dict[tuple[int, float], tuple[str, float]] = {}  # (pid, start): role, seconds so far
        self.most_machines = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def cpu(self) -> dict[str, float]:
        """Return CPU seconds by role since the start of the processes; processes of less than 1 s may be missed."""
        total: dict[str, float] = defaultdict(float)
        for role, seconds in list(self._cpu.values()):
            total[role] += seconds
        return total

    def pss_mib(self) -> dict[str, list[float]]:
        """Return the proportional set size of every running process, MiB by role; shared memory is divided."""
        found: dict[str, list[float]] = defaultdict(list)
        for pid, role, _ in self._living():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue  # it has ended
            kib = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
            found[role].append(kib / 1024)
        return found

    def _sample(self) -> None:
        while not self._done.wait(1.0):
            machines = set()
            for pid, role, machine in self._living():
                try:
                    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                self._cpu[pid, float(stat[19])] = (role, (int(stat[11]) + int(stat[12])) / _TICK)
                machines.add(machine)
            self.most_machines = max(self.most_machines, len(machines - {""}))

    def _living(self) -> list[tuple[int, str, str]]:
        """Return (pid, role, machine id or "") of every process of the home."""
        found = []
        for process, environment in environments():
            machine = environment.get(ENV_MACHINE, "")
            if machine and Path(environment.get(ENV_WORK, "/")).is_relative_to(self._home):
                found.append((process.pid, _on_machine(words(process)), machine))
            elif not machine and environment.get(ENV_MARK) == str(self._home):
                found.append((process.pid, _on_controller(words(process)), ""))
        if self._postgres is not None and psutil.pid_exists(self._postgres):
            master = psutil.Process(self._postgres)
            found += [(one.pid, "PostgreSQL", "") for one in [master, *master.children()]]
        return found


def _on_machine(command: list[str]) -> str:
    if "spotwave.node.agent" in command:
        return "agent"
    if "spotwave.node.agent.attempt_worker" in command:
        return "machine's worker"
    return "node run" if any(word.startswith("prefect.") for word in command) else "other on machines"


def _on_controller(command: list[str]) -> str:
    if _is_call(command, "server", "start"):
        return "server"
    return "controller" if "spotwave.deployments.controller" in command else "other of the controller"


def _is_call(command: list[str], *words: str) -> bool:
    """Return whether a command line has these words in sequence."""
    return any(tuple(command[n : n + len(words)]) == words for n in range(len(command)))


def busy_s() -> float:
    """Return the CPU seconds of all processes of this computer except this one."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq) - time.process_time()


@dataclass
class Answers:
    """Response times of the API in seconds, and failed requests."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else float("nan")

    @property
    def longest(self) -> float:
        return max(self.seconds, default=float("nan"))

    @property
    def stalls(self) -> int:
        """Number of responses that took ten seconds or more."""
        return sum(second >= STALL_S for second in self.seconds)


class Probe:
    """Requests the newest run from the API four times a second, as a page of the UI does."""

    def __init__(self, url: str) -> None:
        self._url, self.answers = url, Answers()
        self._answered = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(_PATIENCE_S)

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._answered

    def take(self) -> Answers:
        """Return the answers since the last call."""
        taken, self.answers = self.answers, Answers()
        return taken

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=_PATIENCE_S) as client:
            while not self._done.wait(_PROBE_S):
                started = time.monotonic()
                try:
                    answer = client.post(f"{self._url}/flow_runs/filter", json={"limit": 1, "sort": "START_TIME_DESC"})
                    failure = None if answer.is_success else str(answer.status_code)
                except httpx.HTTPError as error:
                    failure = type(error).__name__
                answers = self.answers
                answers.seconds.append(time.monotonic() - started)
                if failure is None:
                    self._answered = time.monotonic()
                else:
                    answers.failures.append(failure)


class Meter:
    """Wall seconds, CPU seconds and API answers of consecutive steps."""

    def __init__(self, load: Load, probe: Probe) -> None:
        self._load, self._probe = load, probe
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, dict[str, float]] = {}
        self.busy: dict[str, float] = {}  #: CPU seconds of the whole computer
        self.answers: dict[str, Answers] = {}
        self._before, self._worked, self._clock = load.cpu(), busy_s(), time.monotonic()

    def ended(self, step: str) -> None:
        """Record the end of a step; the next step starts."""
        after, works, now = self._load.cpu(), busy_s(), time.monotonic()
        self.cpu[step] = {role: after[role] - self._before.get(role, 0.0) for role in after}
        self.busy[step], self.seconds[step] = works - self._worked, now - self._clock
        self.answers[step] = self._probe.take()
        self._before, self._worked, self._clock = after, works, now
        print(f"  {step}: {self.seconds[step]:.0f} s", file=sys.stderr)
