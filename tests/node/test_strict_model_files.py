"""How a letter is written down."""

from __future__ import annotations

import os
from pathlib import Path

from spotwave.node.untrusted.strict_model import write_text


def test_what_is_written_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_text(tmp_path / "receipt.json", "{}")
        (tmp_path / "receipt.json").chmod(0o644)  # as an older version of ours has left it
        write_text(tmp_path / "receipt.json", "{}\n")
    finally:
        os.umask(before)
    assert (tmp_path / "receipt.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "receipt.json").read_text() == "{}\n"
