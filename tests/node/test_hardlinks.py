"""Hard links to files that another process replaces meanwhile, as programs do with their checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotwave.node.storage.hardlinks import link
from tests.node.busy import busy

LINKS = 3000
REPLACING = "open(path + '.part', 'w').write('whole'); os.replace(path + '.part', path)"


def test_a_file_that_is_being_replaced_is_linked(tmp_path: Path) -> None:
    source = tmp_path / "state"
    source.write_text("whole")
    with busy(REPLACING, source):
        for number in range(LINKS):
            target = tmp_path / "sealed" / str(number)
            link(source, target)
            assert target.read_text() == "whole"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        link(tmp_path / "absent", tmp_path / "target")
    (tmp_path / "broken").symlink_to(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "broken", tmp_path / "target")
    assert not (tmp_path / "target").exists()
