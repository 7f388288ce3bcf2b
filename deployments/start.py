"""Where the command `spotwave` begins: what must hold before Prefect is imported, which looks for the user's home."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Entry point."""
    try:
        Path.home()
    except RuntimeError:  # as of a service, or a container's user, that has a number and no name
        sys.exit(
            f"spotwave: HOME: it is not set, and this computer knows no user with the number {os.getuid()}. Set HOME "
            "to a folder of yours."
        )
    from spotwave.deployments.cli import main as command

    command()


if __name__ == "__main__":
    main()
