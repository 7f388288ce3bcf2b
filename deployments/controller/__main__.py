"""The controller's process: `python -m spotwave.deployments.controller NAME`, NAME being the worker's.

It ends like a process that crashes, whatever ends it: its runs have no time to terminate their machines, and are
resumed at the next `up`.
"""

from __future__ import annotations

import asyncio
import sys

from spotwave.deployments.controller.worker_type import ControllerWorker
from spotwave.node.contract import CONTROLLER_POOL


def main() -> None:
    worker = ControllerWorker(CONTROLLER_POOL, name=sys.argv[1], create_pool_if_not_found=False)
    asyncio.run(worker.start())


if __name__ == "__main__":
    main()
