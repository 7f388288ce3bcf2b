"""Generates the table of attacks in docs/hostile.md from the lists in the tests.

python -m tests.security.table --write
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from tests.security.rows import Row

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "hostile.md"
_HEAD = """# Tested attacks

The test suite carries out each of these attacks, in the file above its table, with real sockets, files, processes,
rclone and servers. `python -m tests.security.table --write` generates this page, and a test compares it with the tests.
[security.md](security.md) explains what is protected, against whom, and what is not protected.
"""


def modules() -> list[str]:
    """Return the test modules with a list of rows."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "\nROWS" in path.read_text()]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)


def rows() -> dict[str, list[Row]]:
    return {name: list(import_module(name).ROWS) for name in modules()}


def as_markdown(found: dict[str, list[Row]]) -> str:
    lines = [_HEAD, f"{sum(map(len, found.values()))} rows.", ""]
    for name, its in found.items():
        lines += [f"## {name.replace('.', '/')}.py", "", "| target | attack | outcome |", "|--|--|--|"]
        lines += [f"| {_cell(row.where)} | {_cell(row.attack)} | {_cell(row.outcome)} |" for row in its]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return shown.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    page = as_markdown(rows())
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page)
    else:
        sys.stdout.write(page)
