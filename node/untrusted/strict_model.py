"""What a letter is, and what its fields may hold.

A rule gives the value as it is kept, or raises ValueError in words. For what is heard, not for what we say ourselves.
Standard library only, as the agent needs it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from spotwave.node.untrusted.plain_text import LINE_CHARS, TEXT_CHARS, plain
from spotwave.node.untrusted.strict_json import load_file, load_object

Rule = Callable[[Any], Any]
T = TypeVar("T")

MOST_BYTES = 2**50  # a pebibyte, of what one machine may say that it has sent
_MOST_WHOLE = 2**53  # beyond, a float no longer tells neighbours apart


def whole(least: int = 0, most: int = _MOST_WHOLE) -> Rule:
    """A whole number; true and false are none."""

    def rule(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"not a whole number from {least} to {most}")
        return value

    return rule


def number(least: float = 0.0, most: float = 1e12) -> Rule:
    """A finite number; true and false are none."""

    def rule(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise ValueError(f"not a number from {least:g} to {most:g}")
        return float(value)

    return rule


def said(limit: int = LINE_CHARS, *, lines: bool = False) -> Rule:
    """Words for people: made plain, and cut where they are too long."""

    def rule(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("not a text")
        return plain(value, limit, lines=lines)

    return rule


def exactly(limit: int = TEXT_CHARS) -> Rule:
    """A text that is used as it is."""

    def rule(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"not a text of at most {limit} characters")
        return value

    return rule


def named(pattern: str) -> Rule:
    """A text of this form."""
    form = re.compile(pattern)

    def rule(value: Any) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"not of the form {pattern}")
        return value

    return rule


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def one_of(words: type[StrEnum]) -> Rule:
    def rule(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(words):
            raise ValueError(f"not one of {', '.join(words)}")
        return words(value)

    return rule


def table(value: Any) -> dict[str, Any]:
    """An object of any content."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def each(rule: Callable[[Any], T], most: int) -> Callable[[Any], dict[str, T]]:
    """An object of at most so many values of one kind, under short names."""

    def checked(value: Any) -> dict[str, T]:
        if len(table(value)) > most:
            raise ValueError(f"more than {most} entries")
        return {plain(name, 100): rule(one) for name, one in value.items()}

    return checked


def listed(rule: Callable[[Any], T], most: int) -> Callable[[Any], tuple[T, ...]]:
    """A list of at most so many values of one kind."""

    def checked(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"not a list of at most {most} entries")
        return tuple(rule(one) for one in value)

    return checked


def maybe(rule: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else rule(value)


class StrictModel:
    """A dataclass that travels as JSON; unknown keys are ignored so that versions may differ.

    Whoever reads one believes nothing unchecked: a machine may be anybody's. What does not fit its field's rule makes
    the whole note unreadable, and texts for people come out plain.
    """

    RULES: ClassVar[Mapping[str, Rule]]  #: one for every field

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Raises ValueError for anything but an object with the needed fields, each as its rule asks."""
        told: dict[str, Any] = {}
        for name, rule in cls.RULES.items():
            if name in table(data):
                try:
                    told[name] = rule(data[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        try:
            return cls(**told)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError as `from_dict` does, and for what is no strict JSON (node.untrusted.strict_json)."""
        return cls.from_dict(load_object(text))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Out of a file beside which others write. Raises FileNotFoundError, ValueError."""
        return cls.from_dict(load_file(path))

    def write(self, path: Path) -> None:
        write_text(path, self.to_json())


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename: a reader sees the old file or the new, never half.

    The file is its owner's alone, whatever umask the process was given. Raises OSError that names the file; nothing is
    left then, for a disk that is full needs its place.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by a death, or a pipe of a program's: to open that would never end
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise type(error)(error.errno, error.strerror, str(path)) from error
