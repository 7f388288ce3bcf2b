"""Text that a machine or a program has written, made fit to be shown: in a terminal, a log, a state, a page.

A terminal obeys what is in it (title, clipboard, colours, a cleared screen), a page follows links and draws pictures.
Used where such text comes in, so that everything behind need not think of it. Standard library only.
"""

from __future__ import annotations

import re
from typing import Any

LINE_CHARS = 500  # of what is one line
TEXT_CHARS = 8000  # of what may be several: the end of a log
_DEPTH = 32  # of a JSON value
_GAP = " ..."
_STRANGE = "\N{REPLACEMENT CHARACTER}"

# Whole sequences, so that the words between colours stay words (ECMA-48: CSI; OSC, DCS, APC, PM, SOS and their end).
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
)
_LINE_END = re.compile(r"\r\n?|[\n\v\f\x85\u2028\u2029]")

# What means something in the middle of a line, and what makes a link without any mark around it.
_MARKS = re.compile(r"[\\`*\[\]<>|~#!&]|(?<![^\W_])_|_(?![^\W_])|(?<=\w)@(?=\w)|:(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_FIRST_MARK = re.compile(r"^(?=[-+=])|^(\d+)(?=[.)]\s)")


def plain(text: str, limit: int = LINE_CHARS, *, lines: bool = False) -> str:
    """At most `limit` printable characters, on one line; with `lines` on as many as it has.

    Escape sequences are left out; any other control character, what turns the direction of writing, and half a
    surrogate pair are shown as U+FFFD, so that nothing is hidden.
    """
    if text.isprintable() and len(text) <= limit:
        return text
    text = text[: 16 * limit]  # what is left out below must not be looked through without end
    text = _LINE_END.sub("\n" if lines else " ", _SEQUENCE.sub("", text)).expandtabs(4)
    text = "".join(map(_shown, text))
    if not lines:
        text = text.strip()
    return text if len(text) <= limit else text[: max(0, limit - len(_GAP))] + _GAP


def markdown(text: str, limit: int = LINE_CHARS) -> str:
    """As `plain`, on one line, and as Markdown that shows exactly that: no link, picture, HTML, heading, list, nor
    the end of a table's cell."""
    escaped = _MARKS.sub(r"\\\g<0>", plain(text, limit))
    return _FIRST_MARK.sub(lambda found: f"{found[0]}\\", escaped)


def from_markdown(escaped: str) -> str:
    """What `markdown` was given, for a terminal."""
    return _ESCAPED.sub(r"\1", escaped)


def plain_all(value: Any, limit: int = TEXT_CHARS, depth: int = _DEPTH) -> Any:
    """A JSON value with all its texts, names too, made plain; what is nested deeper than `depth` is left out."""
    if isinstance(value, str):
        return plain(value, limit, lines=True)
    if isinstance(value, list):
        return [plain_all(one, limit, depth - 1) for one in value] if depth else None
    if isinstance(value, dict):
        return {plain(str(name)): plain_all(one, limit, depth - 1) for name, one in value.items()} if depth else None
    return value


def _shown(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    return " " if char.isspace() else _STRANGE
