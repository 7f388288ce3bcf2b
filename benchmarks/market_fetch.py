"""The whole market of three clouds against servers as slow as the real ones: how close to the longest chain of calls?

    python -m benchmarks.market_fetch [--latency 0.12] [--loop]

The clouds are emulated in a process each, as big as the real ones (34, 40 and 60 regions) and with 120 ms a call.
Nothing is cached: types, list prices and spot prices are all read. Measured in one run: the whole fetch; the longest
single chain of dependent calls, which is GCP's list of machine types, page after page, read alone by the SDK; and the
plain loop, one call after the other. The loop is the time of all calls' latencies and the same work of the client,
measured by giving every wing one call at a time, cloud after cloud; it takes minutes, so without --loop it is the
number of calls times the latency plus the client's CPU seconds, which is less than a real loop takes.

Prints `market_fetch_seconds`, `market_fetch_vs_chain` and `market_fetch_vs_loop` (ratios), and what they are made of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import requests

from blocks.azure.block import AzureCloud
from blocks.cloud import Cloud
from blocks.market import Market
from tests.emulators import aws_cloud, gcp_cloud

KINDS = ("aws", "gcp", "azure")


@contextmanager
def served(kind: str, latency_s: float) -> Iterator[str]:
    """The address of a big emulated cloud, in a process of its own."""
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


def whole(clouds: dict[str, Cloud]) -> Market:
    """All clouds at once, as `prices` does it."""
    with ThreadPoolExecutor(len(clouds)) as pool:
        return Market.merged(pool.map(lambda cloud: cloud.market(), clouds.values()))


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """(wall seconds, CPU seconds of this process, what came of it)."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = action()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.12)
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(served(kind, options.latency)) for kind in KINDS}
        clouds = {kind: cloud_at(kind, url) for kind, url in urls.items()}
        for url in urls.values():
            requests.get(url, timeout=10)  # the server's first answer
        import google.cloud.compute_v1  # noqa: F401 - four seconds, once a process

        for kind, cloud in clouds.items():
            wall, cpu, market = timed(cloud.market)
            sys.stderr.write(f"{kind}: {wall:.2f} s, CPU {cpu:.2f} s, {len(market)} offers\n")
        wall, cpu, market = timed(lambda: whole(clouds))
        sys.stderr.write(f"whole: {wall:.2f} s, CPU {cpu:.2f} s, {len(market)} offers\n")


if __name__ == "__main__":
    main()
