"""Run all three emulated clouds on this computer until the standard input is closed.

    python -m tests.emulators [--latency 0.12] [--big] [--only aws]

Prints one line of JSON: the address of each, by kind. With --big the clouds have the size of the real ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack

from tests.emulators import aws_world, azure_world, gcp_world
from tests.emulators.aws import AwsEmulator
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcp import GcpEmulator


def emulators(big: bool, latency_s: float, only: list[str]) -> dict[str, AwsEmulator | AzureEmulator | GcpEmulator]:
    """Create one emulator of each kind in `only`, with long answers rendered in advance."""
    makers = {
        "aws": lambda: AwsEmulator(aws_world.big_world() if big else None, latency_s),
        "gcp": lambda: GcpEmulator(gcp_world.big_world() if big else None, latency_s),
        "azure": lambda: AzureEmulator(azure_world.big_world() if big else None, latency_s),
    }
    found = {kind: makers[kind]() for kind in only}
    for emulator in found.values():
        emulator.warm()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per call")
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--only", choices=["aws", "gcp", "azure"], action="append")
    options = parser.parse_args()
    with ExitStack() as stack:
        found = emulators(options.big, options.latency, options.only or ["aws", "gcp", "azure"])
        urls = {kind: stack.enter_context(emulator).url for kind, emulator in found.items()}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
