"""Texts that break out of whatever quotes too little; if one does, there is a file `pwned` or an odd message."""

from __future__ import annotations

# Each would make a file `pwned` in the working folder, or in its parent, where a shell reads it.
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
    """One line of a length to be read, that names the field."""
    said = str(error)
    return field in said and "\n" not in said and said.isprintable() and len(said) < 500
