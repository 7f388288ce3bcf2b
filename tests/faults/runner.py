"""Carries cases through, a few at a time, and tells what came of them."""

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


def carried(harness: Harness, cases: list[Case], at_once: int) -> Iterator[Verdict]:
    """As they end. What strikes a whole controller strikes all clouds of a step together."""
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


def called(
    harness: Harness, clouds: Sequence[str], chosen: Callable[[list[Case]], list[Case]], at_once: int
) -> Iterator[Verdict]:
    """Every call that an undisturbed job makes, with everything that can be wrong with its answer.

    chosen: which of these, once they are known.
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
    """Whoever is interrupted waits for the cases that have begun, and begins no other."""
    with ThreadPoolExecutor(size) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Prefect's settings are the context's."""
    return pool.submit(contextvars.copy_context().run, work)


def _ended(futures: list[Future[Verdict]]) -> Iterator[Verdict]:
    for future in as_completed(futures):
        yield future.result()


def each_pair(cases: list[Case], seed: int) -> list[Case]:
    """Every pair of step and fault once, on a cloud drawn by the seed."""
    random = Random(seed)
    by_pair: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        by_pair[case.fault, case.step].append(case)
    return [random.choice(clouds) for clouds in by_pair.values()]


def sample(cases: list[Case], count: int, seed: int) -> list[Case]:
    """A fair one: every fault once before any comes twice, at a step and on a cloud drawn by the seed."""
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
