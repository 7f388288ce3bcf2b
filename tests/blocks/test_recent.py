from __future__ import annotations

from collections.abc import Callable

import pytest

from spotwave.blocks.recent_answers import Recent


def counting(asked: list[str], word: str) -> Callable[[], str]:
    def ask() -> str:
        asked.append(word)
        return word

    return ask


def test_an_answer_is_asked_for_once_while_it_is_fresh() -> None:
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


def test_a_refusal_is_not_remembered() -> None:
    recent = Recent()

    def refuse() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        recent.get("a", refuse)
    assert recent.get("a", lambda: "x") == "x"


def test_the_oldest_go_first() -> None:
    recent, asked = Recent(most=2), list[str]()
    for word in ("a", "b", "c", "b", "a"):
        recent.get(word, counting(asked, word))
    assert asked == ["a", "b", "c", "a"]
