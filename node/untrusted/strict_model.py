"""Dataclasses that are read from untrusted JSON, with a validation rule for each field.

A rule returns the value to keep, or raises ValueError with the reason. Rules apply to received data, not to data that
is written. Standard library only, as the agent needs it.
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

MOST_BYTES = 2**50  # a pebibyte: the largest number of sent bytes that a machine may report
_MOST_WHOLE = 2**53  # a float represents larger whole numbers inexactly


def whole(least: int = 0, most: int = _MOST_WHOLE) -> Rule:
    """Return a rule for whole numbers; true and false are refused."""

    def rule(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"not a whole number from {least} to {most}")
        return value

    return rule


def number(least: float = 0.0, most: float = 1e12) -> Rule:
    """Return a rule for finite numbers; true and false are refused."""

    def rule(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise ValueError(f"not a number from {least:g} to {most:g}")
        return float(value)

    return rule


def said(limit: int = LINE_CHARS, *, lines: bool = False) -> Rule:
    """Return a rule for texts to display: they are cleaned (`plain`), and truncated if too long."""

    def rule(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be text")
        return plain(value, limit, lines=lines)

    return rule


def exactly(limit: int = TEXT_CHARS) -> Rule:
    """Return a rule for texts that are used unchanged."""

    def rule(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"not a text of at most {limit} characters")
        return value

    return rule


def named(pattern: str) -> Rule:
    """Return a rule for texts that match `pattern` as a whole."""
    form = re.compile(pattern)

    def rule(value: Any) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"not of the form {pattern}")
        return value

    return rule


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def one_of(words: type[StrEnum]) -> Rule:
    def rule(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(words):
            raise ValueError(f"not one of {', '.join(words)}")
        return words(value)

    return rule


def table(value: Any) -> dict[str, Any]:
    """Return a JSON object of any content, unchanged. Raises ValueError for other values."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def each(rule: Callable[[Any], T], most: int) -> Callable[[Any], dict[str, T]]:
    """Return a rule for objects with at most `most` values, each of which follows `rule`, under short names."""

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
    """Base of dataclasses that are exchanged as JSON; unknown keys are ignored so that versions may differ.

    Received data is always validated, since a machine may be compromised. A value that violates its field's rule makes
    the whole object invalid, and texts for display are cleaned.
    """

    RULES: ClassVar[Mapping[str, Rule]]  #: one for every field

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Validate a JSON object. Raises ValueError if a field is missing or violates its rule."""
        fields: dict[str, Any] = {}
        for name, rule in cls.RULES.items():
            if name in table(data):
                try:
                    fields[name] = rule(data[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse JSON. Raises ValueError as `from_dict` does, and for invalid JSON (node.untrusted.strict_json)."""
        return cls.from_dict(load_object(text))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file in a folder where other programs write. Raises FileNotFoundError, ValueError."""
        return cls.from_dict(load_file(path))

    def write(self, path: Path) -> None:
        write_text(path, self.to_json())


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: under a temporary name, then renamed, so that readers never see half of it.

    Only its owner can read the file, whatever the umask. Raises OSError with the file's name; the temporary file is
    then removed, since a full disk needs its space.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by a crash, or a pipe made by a program, whose opening would block
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise type(error)(error.errno, error.strerror, str(path)) from error
