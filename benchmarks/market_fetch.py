"""Time to fetch the whole market of three clouds from servers with realistic latency, compared with lower bounds.

    python -m benchmarks.market_fetch [--latency 0.12] [--rounds 3]

Each cloud is emulated in a separate process, as big as the real one (34 AWS, 40 GCP and 60 Azure regions), with a
latency of 120 ms per call. The store is empty: each cloud's catalogue (types, list prices) is read and stored, and then
its prices, as in the flow `prices`. Measured in one run, medians:

- the whole fetch, all clouds in parallel;
- the longest chain of dependent calls: GCP's two lists, where each page has the token of the next, 27 pages of machine
  types and 8 of prices; this is the time for GCP alone, which makes no other calls;
- the sequential loop: the same calls, one after the other (once; it takes minutes).

Prints `market_fetch_vs_chain` and `market_fetch_vs_loop`, and the underlying times in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from unittest.mock import patch

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.market.fetch_prices import market_now
from tests.emulators import aws_cloud, gcp_cloud

KINDS = ("aws", "gcp", "azure")


@contextmanager
def served(kind: str, latency_s: float) -> Iterator[str]:
    """Run a big emulated cloud in a separate process, and yield its address."""
    command = [sys.executable, "-m", "tests.emulators", "--big", "--latency", str(latency_s), "--only", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())[kind]
        finally:
            process.terminate()


def cloud_at(kind: str, url: str) -> Cloud:
    makers: dict[str, Callable[[], Cloud]] = {
        "aws": lambda: aws_cloud.cloud_at_url(url),
        "gcp": lambda: gcp_cloud.cloud_at(url),
        "azure": lambda: AzureCloud(prices_endpoint=url),
    }
    return makers[kind]()


def whole(clouds: dict[str, Cloud], at_once: int) -> Market:
    """Fetch all clouds with an empty store, `at_once` in parallel."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        store = SnapshotStore(url=folder)
        return Market.merged(pool.map(lambda cloud: market_now(cloud, store), clouds.values()))


def seconds(action: Callable[[], Market], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def one_at_a_time(max_workers: int) -> ThreadPoolExecutor:
    """Return the executor that `gather` uses for the sequential loop."""
    return ThreadPoolExecutor(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(served(kind, options.latency)) for kind in KINDS}
        clouds = {kind: cloud_at(kind, url) for kind, url in urls.items()}
        market = whole(clouds, len(clouds))  # warm up: the import of the SDKs takes seconds
        assert set(market.frame["cloud"].unique()) == set(KINDS), market.missing
        fetch = seconds(lambda: whole(clouds, len(clouds)), options.rounds)
        chain = seconds(lambda: whole({"gcp": clouds["gcp"]}, 1), options.rounds)
        with patch("spotwave.blocks.concurrent.ThreadPoolExecutor", one_at_a_time):
            loop = seconds(lambda: whole(clouds, 1), 1)
    sys.stdout.write(f"market_fetch_offers {len(market)}\n")
    sys.stdout.write(f"market_fetch_seconds {fetch:.2f}\n")
    sys.stdout.write(f"market_fetch_chain_seconds {chain:.2f}\n")
    sys.stdout.write(f"market_fetch_loop_seconds {loop:.2f}\n")
    sys.stdout.write(f"market_fetch_vs_chain {fetch / chain:.2f}\n")
    sys.stdout.write(f"market_fetch_vs_loop {fetch / loop:.3f}\n")


if __name__ == "__main__":
    main()
