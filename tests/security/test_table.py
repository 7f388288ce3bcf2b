"""docs/hostile.md has exactly the rows of the tests."""

from __future__ import annotations

from tests.security.table import PAGE, as_markdown, rows


def test_page_matches_rows_of_tests() -> None:
    found = rows()
    assert sum(map(len, found.values())) >= 60
    assert PAGE.read_text() == as_markdown(found), "run `python -m tests.security.table --write`"


def test_rows_are_unique() -> None:
    every = [str(row) for its in rows().values() for row in its]
    assert len(every) == len(set(every))
