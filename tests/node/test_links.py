"""Hard links of files that another process replaces meanwhile, as the programs do with their checkpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.links import link

LINKS = 3000
REPLACING = """
import os, sys
path = sys.argv[1]
print("up", flush=True)
while True:
    with open(path + ".part", "w") as part:
        part.write("whole")
    os.replace(part.name, path)
"""


def test_a_file_that_is_being_replaced_is_linked(tmp_path: Path) -> None:
    source = tmp_path / "state"
    source.write_text("whole")
    with subprocess.Popen([sys.executable, "-c", REPLACING, str(source)], stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline()
            for number in range(LINKS):
                target = tmp_path / "sealed" / str(number)
                link(source, target)
                assert target.read_text() == "whole"
            assert program.poll() is None
        finally:
            program.kill()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        link(tmp_path / "absent", tmp_path / "target")
    (tmp_path / "broken").symlink_to(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "broken", tmp_path / "target")
    assert not (tmp_path / "target").exists()
