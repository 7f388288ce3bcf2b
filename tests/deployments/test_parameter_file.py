"""`-p key=@file`: the text of a file as a parameter, or a one-line error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spotwave.deployments.commands.jobs import parsed

WATER = "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"


def test_parameter_is_text_of_file(tmp_path: Path) -> None:
    (tmp_path / "water.xyz").write_text(WATER)
    (tmp_path / "12.nw").write_text("12")
    read = parsed([f"molecule=@{tmp_path}/water.xyz", f"basis=@{tmp_path}/12.nw", "spin=2", "project=a@b"])
    assert read == {"molecule": WATER, "basis": "12", "spin": 2, "project": "a@b"}


def test_invalid_parameter_file_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("1" * 200_001)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "zero").write_bytes(b"O\x00")
    (tmp_path / "empty").write_text("\n")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("absent", "not a file"),
        ("", "not a file"),
        ("pipe", "not a file"),
        ("long", "longer than 200000 bytes"),
        ("binary", "not a text file"),
        ("zero", "has no text"),
        ("empty", "has no text"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            parsed([f"basis=@{tmp_path}/{name}"])
        assert str(caught.value).startswith(f"-p basis=@{tmp_path}")
        assert "\n" not in str(caught.value)
