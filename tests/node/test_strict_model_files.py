"""Permissions of written files."""

from __future__ import annotations

import os
from pathlib import Path

from spotwave.node.untrusted.strict_model import write_text


def test_written_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_text(tmp_path / "receipt.json", "{}")
        (tmp_path / "receipt.json").chmod(0o644)  # as an older version has left it
        write_text(tmp_path / "receipt.json", "{}\n")
    finally:
        os.umask(before)
    assert (tmp_path / "receipt.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "receipt.json").read_text() == "{}\n"
