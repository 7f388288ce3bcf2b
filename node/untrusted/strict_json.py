"""JSON that somebody else has written: read strictly, or not at all.

Python's own reader takes NaN, numbers without end, the last of two equal keys and half a surrogate pair, and fails on
deep nesting with an error that nobody expects. Standard library only, as the agent needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spotwave.node.untrusted.own_files import read_regular

LETTER_BYTES = 1 << 20  # of a lease, an outcome, a manifest: an honest one has a few hundred
MOST_DEPTH = 32
MOST_INT = 2**63 - 1


class BadJson(ValueError):
    """What was read is not what we take; one line that quotes nothing of it."""


def load(told: str | bytes, most_bytes: int = LETTER_BYTES, most_depth: int = MOST_DEPTH) -> Any:
    """Raises BadJson for anything but a JSON text of finite numbers, each key once, that is neither long nor deep."""
    if len(told) > most_bytes:
        raise BadJson(f"longer than {most_bytes} bytes")
    try:
        text = told.decode() if isinstance(told, bytes) else told
        value = json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_once
        )
    except RecursionError:
        raise BadJson("nested too deeply") from None
    except BadJson:
        raise
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError: their messages quote nothing
        raise BadJson(f"no JSON: {_reason(error)}") from None
    _look_through(value, most_depth)
    return value


def load_object(told: str | bytes, most_bytes: int = LETTER_BYTES) -> dict[str, Any]:
    """As `load`. Raises BadJson for anything but an object, too."""
    value = load(told, most_bytes)
    if not isinstance(value, dict):
        raise BadJson("no JSON object")
    return value


def load_file(path: Path, most_bytes: int = LETTER_BYTES) -> dict[str, Any]:
    """The object in a file. Raises FileNotFoundError, BadJson."""
    return load_object(read_file(path, most_bytes), most_bytes)


def read_file(path: Path, most_bytes: int = LETTER_BYTES) -> bytes:
    """A small file in a folder where others write. Raises FileNotFoundError; BadJson for one that is too long, that
    cannot be read, or that is no regular file (node.untrusted.own_files)."""
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
    # Measured as text: to make the number takes time that grows with the square of its length.
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
    """Depth, and text that is none. Without recursion, which is what it guards against."""
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
        raise BadJson("text with half a surrogate pair") from None
