"""Entry point of the command `spotwave`: checks HOME first, because the import of Prefect needs the user's home."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command `spotwave`."""
    try:
        Path.home()
    except RuntimeError:  # a service or a container may run as a user id without a user name
        sys.exit(
            f"spotwave: HOME: not set, and user id {os.getuid()} is unknown on this computer. Set HOME to a folder "
            "that you own."
        )
    from spotwave.deployments.cli import main as command

    command()


if __name__ == "__main__":
    main()
