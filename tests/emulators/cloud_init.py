"""User data as in cloud-init (canonical/cloud-init: cloudinit/user_data.py, cloudinit/handlers/__init__.py)."""

from __future__ import annotations

import gzip
import zlib


def script_of(user_data: bytes) -> str:
    """Return the script that runs at the first boot; '' if cloud-init would ignore the data with a warning.

    Compressed data is decompressed; a script begins with `#!`. Other formats are not used by Spotwave.
    """
    try:
        told = gzip.decompress(user_data)
    except (OSError, EOFError, zlib.error):
        told = user_data
    return told.decode() if told.startswith(b"#!") else ""
