"""Runs cases, a few in parallel, and yields their verdicts."""

from __future__ import annotations

import contextvars
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from random import Random
from typing import TypeVar

from tests.faults import calls
from tests.faults.fault_catalog import FAULTS, Case
from tests.faults.harness import Harness, Round
from tests.faults.verdict import Verdict

T = TypeVar("T")


def run_cases(harness: Harness, cases: list[Case], at_once: int) -> Iterator[Verdict]:
    """Yield verdicts as cases end. A fault of a whole controller affects all clouds of a step together."""
    together: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        if FAULTS[case.fault].shared:
            together[case.fault, case.step].append(case)
    for (fault, _), struck in together.items():
        blow = Round(harness, fault, len(struck))
        with _pool(len(struck)) as pool:
            yield from _ended([_submit(pool, lambda one=case, all_=blow: harness.carry(one, all_)) for case in struck])
    alone = [case for case in cases if not FAULTS[case.fault].shared]
    with _pool(at_once) as pool:
        yield from _ended([_submit(pool, lambda one=case: harness.carry(one)) for case in alone])


def run_calls(
    harness: Harness, clouds: Sequence[str], chosen: Callable[[list[Case]], list[Case]], at_once: int
) -> Iterator[Verdict]:
    """Run every call of an undisturbed job with every kind of wrong answer.

    chosen: selects the cases, once they are known.
    """
    with _pool(at_once) as pool:
        seen = [_submit(pool, lambda one=cloud: calls.calls_of(harness, one)) for cloud in clouds]
        cases: list[Case] = []
        for verdict, found in [future.result() for future in seen]:
            yield verdict
            cases += found
        jobs = [
            _submit(pool, lambda few=some: calls.carry_each(harness, few)) for some in calls.together(chosen(cases))
        ]
        for future in as_completed(jobs):
            yield from future.result()


@contextmanager
def _pool(size: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool; on an interrupt, running cases finish and no others start."""
    with ThreadPoolExecutor(size) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Submit work in a copy of the context, which holds Prefect's settings."""
    return pool.submit(contextvars.copy_context().run, work)


def _ended(futures: list[Future[Verdict]]) -> Iterator[Verdict]:
    for future in as_completed(futures):
        yield future.result()


def each_pair(cases: list[Case], seed: int) -> list[Case]:
    """Return every pair of step and fault once, on a cloud drawn by the seed."""
    random = Random(seed)
    by_pair: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        by_pair[case.fault, case.step].append(case)
    return [random.choice(clouds) for clouds in by_pair.values()]


def sample(cases: list[Case], count: int, seed: int) -> list[Case]:
    """Draw a fair sample: every fault once before any is repeated, at a step and on a cloud drawn by the seed."""
    random = Random(seed)
    by_fault: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_fault[case.fault].append(case)
    for few in by_fault.values():
        random.shuffle(few)
    faults = sorted(by_fault)
    random.shuffle(faults)
    rows = [[by_fault[name][turn] for name in faults if turn < len(by_fault[name])] for turn in range(len(cases))]
    return [case for row in rows for case in row][:count]
