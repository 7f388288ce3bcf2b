"""Strict parser for JSON from untrusted sources.

Python's own parser accepts NaN, numbers of unlimited length, duplicate keys and unpaired surrogates, and fails on deep
nesting with a RecursionError. Standard library only, as the agent needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spotwave.node.untrusted.own_files import read_regular

LETTER_BYTES = 1 << 20  # limit for a lease, an outcome, a manifest; normally they have a few hundred bytes
MOST_DEPTH = 32
MOST_INT = 2**63 - 1


class BadJson(ValueError):
    """The JSON text is invalid. The message is one line and quotes nothing of it."""


def load(content: str | bytes, most_bytes: int = LETTER_BYTES, most_depth: int = MOST_DEPTH) -> Any:
    """Parse JSON. Raises BadJson for invalid, too long or too deeply nested text, infinite numbers, duplicate keys."""
    if len(content) > most_bytes:
        raise BadJson(f"longer than {most_bytes} bytes")
    try:
        text = content.decode() if isinstance(content, bytes) else content
        value = json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_once
        )
    except RecursionError:
        raise BadJson("nested too deeply") from None
    except BadJson:
        raise
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError: their messages quote nothing
        raise BadJson(f"not valid JSON: {_reason(error)}") from None
    _look_through(value, most_depth)
    return value


def load_object(content: str | bytes, most_bytes: int = LETTER_BYTES) -> dict[str, Any]:
    """Parse a JSON object as `load` does. Raises BadJson also for any other value."""
    value = load(content, most_bytes)
    if not isinstance(value, dict):
        raise BadJson("not a JSON object")
    return value


def load_file(path: Path, most_bytes: int = LETTER_BYTES) -> dict[str, Any]:
    """Parse the JSON object in a file. Raises FileNotFoundError, BadJson."""
    return load_object(read_file(path, most_bytes), most_bytes)


def read_file(path: Path, most_bytes: int = LETTER_BYTES) -> bytes:
    """Read a small file in a folder where other programs write.

    Raises FileNotFoundError; BadJson if it is too long, unreadable or not a regular file (node.untrusted.own_files).
    """
    try:
        return read_regular(path, most_bytes)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadJson(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadJson(str(error)) from None


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return type(error).__name__


def _whole(digits: str) -> int:
    # Check the length first: the conversion takes time that grows with the square of the number of digits.
    if len(digits) > 20 or abs(number := int(digits)) > MOST_INT:
        raise BadJson("a whole number of more than 63 bits")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadJson("a number that is not finite")
    return number


def _no_number(_name: str) -> float:
    raise BadJson("a number that is not finite")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadJson("the same key twice")
    return found


def _look_through(value: Any, most_depth: int) -> None:
    """Check nesting depth and text encoding, without recursion."""
    level, depth = [value], 0
    while level:
        if depth > most_depth:
            raise BadJson("nested too deeply")
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.keys()
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str) and not one.isascii():
                _encodable(one)
        level, depth = below, depth + 1


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadJson("text with an unpaired surrogate") from None
