"""Entry point of the machine's agent: `python -m spotwave.node.agent`."""

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
    """Return a function that removes the remote's and the Prefect API's secrets from texts that leave the machine."""
    api = secrets / SECRET_API
    settings = json.loads(api.read_text()) if api.is_file() else {}
    return redactor(secrets / SECRET_RCLONE, secrets_of(settings))


def main() -> int:
    """Set up logging and signals, then run the agent."""
    work = Path(os.environ[ENV_WORK])
    secrets = Path(os.environ[ENV_SECRETS])
    handlers: list[logging.Handler] = [logging.FileHandler(work / AGENT_LOG), logging.StreamHandler()]
    scrub = redactor_of(secrets)
    scrubbed = RedactedLog(scrub)
    for handler in handlers:
        handler.addFilter(scrubbed)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=handlers)
    # After a reboot of the same machine, these files describe the engine of the previous boot.
    for leftover in (ENGINE_PID_FILE, STOP_FILE, OUTCOME_FILE, PROGRESS_FILE, RECORD_FILE):
        (work / leftover).unlink(missing_ok=True)
    brief = Brief.from_json((work / BRIEF_FILE).read_text())
    agent = Agent(work, secrets, os.environ[ENV_RCLONE], brief, scrub)

    # Without a cloud, the agent runs on a user's computer, and SIGTERM means that this computer shuts down.
    ending = Ending.INTERRUPTED if os.environ.get(ENV_CLOUD) else Ending.HOST_DOWN

    def on_sigterm(_signal: int, _frame: FrameType | None) -> None:
        agent.stop(ending, "the machine is shutting down")

    signal.signal(signal.SIGTERM, on_sigterm)
    # Shells start background processes with SIGINT ignored, and a worker that inherits this cannot be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
