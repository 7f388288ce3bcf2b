from __future__ import annotations

from collections.abc import Callable

import pytest

from spotwave.blocks.recent_answers import Recent


def counting(asked: list[str], word: str) -> Callable[[], str]:
    def ask() -> str:
        asked.append(word)
        return word

    return ask


def test_answer_is_cached_while_it_is_fresh() -> None:
    recent, asked = Recent(), list[str]()
    assert [recent.get("a", counting(asked, "x")) for _ in range(3)] == ["x"] * 3
    assert asked == ["x"]
    recent.clear()
    recent.get("a", counting(asked, "y"))
    assert asked == ["x", "y"]
    stale = Recent(kept_s=0.0)
    for _ in range(2):
        stale.get("a", counting(asked, "z"))
    assert asked == ["x", "y", "z", "z"]


def test_exception_is_not_cached() -> None:
    recent = Recent()

    def refuse() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        recent.get("a", refuse)
    assert recent.get("a", lambda: "x") == "x"


def test_oldest_answers_are_dropped_first() -> None:
    recent, asked = Recent(most=2), list[str]()
    for word in ("a", "b", "c", "b", "a"):
        recent.get(word, counting(asked, word))
    assert asked == ["a", "b", "c", "a"]
