"""docs/hostile.md tells what the tests carry through: no row more, none less."""

from __future__ import annotations

from tests.security.table import PAGE, as_markdown, rows


def test_the_page_has_every_row_of_the_tests() -> None:
    found = rows()
    assert sum(map(len, found.values())) >= 60
    assert PAGE.read_text() == as_markdown(found), "run `python -m tests.security.table --write`"


def test_no_row_stands_twice() -> None:
    every = [str(row) for its in rows().values() for row in its]
    assert len(every) == len(set(every))
