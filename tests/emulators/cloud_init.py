"""What cloud-init makes of user data (canonical/cloud-init: cloudinit/user_data.py, cloudinit/handlers/__init__.py)."""

from __future__ import annotations

import gzip
import zlib


def script_of(user_data: bytes) -> str:
    """The script that it runs at the first boot; empty where it takes the data for none, and only logs a warning.

    What is compressed is decompressed; what then begins with `#!` is a script. Of its other formats none is ours.
    """
    try:
        told = gzip.decompress(user_data)
    except (OSError, EOFError, zlib.error):
        told = user_data
    return told.decode() if told.startswith(b"#!") else ""
