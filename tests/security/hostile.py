"""Injection texts; if quoting fails, one of them creates a file `pwned` or leads to an odd message."""

from __future__ import annotations

# If a shell interprets them, each creates a file `pwned` in the working folder or in its parent.
SHELL = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "x && touch pwned #",
    "x | tee pwned",
    "x > pwned",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\\'; touch pwned #",
    "${IFS}$(touch${IFS}pwned)",
    "* ? [a-z] {a,b} ~ !! %s %n",
    "BRIEF",
    "@BRIEF@ @SETTINGS@",
    "größe/名前/🧪",
]
LINES = [
    "a\ntouch pwned\n",
    "a\r\ntouch pwned",
    "a\nBRIEF\ntouch pwned\n",
    "a\x00b",
    "a\x1b[2Jb",
    "a\u2028b",
    "a\u202eb",
]
LONG = "x" * 1_000_000


def clear(error: BaseException, field: str) -> bool:
    """Return whether the message is one short line with the field's name."""
    message = str(error)
    return field in message and "\n" not in message and message.isprintable() and len(message) < 500
