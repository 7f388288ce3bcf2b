"""Make text from a machine or a program safe to display in a terminal, a log, a state or a page.

A terminal executes escape sequences (title, clipboard, colours, clear screen); a page follows links and loads pictures.
Texts are cleaned where they enter, so that later code need not care. Standard library only.
"""

from __future__ import annotations

import re
from typing import Any

LINE_CHARS = 500  # limit for a text of one line
TEXT_CHARS = 8000  # limit for a text of several lines, such as the end of a log
_DEPTH = 32  # of a JSON value
_GAP = " ..."
_STRANGE = "\N{REPLACEMENT CHARACTER}"

# Matches whole sequences, so that the text between them stays intact (ECMA-48: CSI; OSC, DCS, APC, PM, SOS with end).
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
)
_LINE_END = re.compile(r"\r\n?|[\n\v\f\x85\u2028\u2029]")

# Characters with a meaning in the middle of a Markdown line, and those that make a link without any markup.
_MARKS = re.compile(r"[\\`*\[\]<>|~#!&]|(?<![^\W_])_|_(?![^\W_])|(?<=\w)@(?=\w)|:(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_FIRST_MARK = re.compile(r"^(?=[-+=])|^(\d+)(?=[.)]\s)")


def plain(text: str, limit: int = LINE_CHARS, *, lines: bool = False) -> str:
    """Return at most `limit` printable characters, on one line, or with `lines` keeping the line breaks.

    Escape sequences are removed. Other control characters, bidirectional controls and unpaired surrogates are shown as
    U+FFFD, so that nothing is hidden.
    """
    if text.isprintable() and len(text) <= limit:
        return text
    text = text[: 16 * limit]  # bounds the time for text that is removed below
    text = _LINE_END.sub("\n" if lines else " ", _SEQUENCE.sub("", text)).expandtabs(4)
    text = "".join(map(_shown, text))
    if not lines:
        text = text.strip()
    return text if len(text) <= limit else text[: max(0, limit - len(_GAP))] + _GAP


def markdown(text: str, limit: int = LINE_CHARS) -> str:
    """Return the text as `plain` does, on one line, as Markdown that shows it literally.

    It makes no link, picture, HTML, heading or list, and does not end a table's cell.
    """
    escaped = _MARKS.sub(r"\\\g<0>", plain(text, limit))
    return _FIRST_MARK.sub(lambda found: f"{found[0]}\\", escaped)


def from_markdown(escaped: str) -> str:
    """Undo `markdown`, for a terminal."""
    return _ESCAPED.sub(r"\1", escaped)


def plain_all(value: Any, limit: int = TEXT_CHARS, depth: int = _DEPTH) -> Any:
    """Clean all texts of a JSON value, keys included. Values nested deeper than `depth` become None."""
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
