"""The machine's program: `python -m spotwave.node.agent`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from spotwave.node.agent.agent import Agent
from spotwave.node.agent.notice import ENV_CLOUD
from spotwave.node.contract import (
    AGENT_LOG,
    BRIEF_FILE,
    ENGINE_PID_FILE,
    ENV_RCLONE,
    ENV_SECRETS,
    ENV_WORK,
    OUTCOME_FILE,
    PROGRESS_FILE,
    RECORD_FILE,
    SECRET_API,
    SECRET_RCLONE,
    STOP_FILE,
    Brief,
    Ending,
)
from spotwave.node.storage.redact import RedactedLog, Scrub, redactor, secrets_of


def redactor_of(secrets: Path) -> Scrub:
    """For all that leaves the machine: the remote's secrets, and those of the Prefect API."""
    api = secrets / SECRET_API
    told = json.loads(api.read_text()) if api.is_file() else {}
    return redactor(secrets / SECRET_RCLONE, secrets_of(told))


def main() -> int:
    """Make the agent ready, and have it live through its attempt."""
    work = Path(os.environ[ENV_WORK])
    secrets = Path(os.environ[ENV_SECRETS])
    handlers: list[logging.Handler] = [logging.FileHandler(work / AGENT_LOG), logging.StreamHandler()]
    scrub = redactor_of(secrets)
    scrubbed = RedactedLog(scrub)
    for handler in handlers:
        handler.addFilter(scrubbed)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=handlers)
    # A second boot of the same machine must not take the first one's engine for its own.
    for leftover in (ENGINE_PID_FILE, STOP_FILE, OUTCOME_FILE, PROGRESS_FILE, RECORD_FILE):
        (work / leftover).unlink(missing_ok=True)
    brief = Brief.from_json((work / BRIEF_FILE).read_text())
    agent = Agent(work, secrets, os.environ[ENV_RCLONE], brief, scrub)

    # A process tree on somebody's computer is told so when that is shut down: no cloud is behind it.
    why = Ending.INTERRUPTED if os.environ.get(ENV_CLOUD) else Ending.HOST_DOWN

    def told_to_end(_signal: int, _frame: FrameType | None) -> None:
        agent.stop(why, "the machine was told to shut down")

    signal.signal(signal.SIGTERM, told_to_end)
    # Started from a shell's background, SIGINT is ignored, and a worker that inherits that cannot be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
