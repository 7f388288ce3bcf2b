"""Check which file names can be transferred by rclone to any remote and from there to another computer.

Files with other names are left out and listed, since one such name must not block all others. A name here is a path
relative to the folder that is sent, with '/'.

Backslash and colon are allowed: if a backend refuses a character, rclone stores a substitute and restores the original
(its "encoding"). The substitutes themselves, and the mark with which rclone quotes them, are not restored correctly
(rclone issues 6098 and 7456), so they are refused.
"""

from __future__ import annotations

import unicodedata

#: Bytes of a file's or folder's own name. Linux allows 255; a program's checkpoint is copied under `.<name>.part`.
LONGEST_NAME = 240
#: Bytes of the whole path: object stores allow 1024 including the remote's path and the job's folder.
LONGEST_PATH = 700
MOST_LEVELS = 32  #: nested folders
LONGEST_QUOTED = 200  #: characters of a name in a message

_QUOTE = "\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"
_FULL_STOP = "\N{FULLWIDTH FULL STOP}"
_SUBSTITUTES = {_QUOTE, "\N{FULLWIDTH SOLIDUS}", *(chr(code) for code in range(0x2400, 0x2422))}  # control pictures


def why_not(name: str) -> str | None:
    """Return briefly why a file of this name cannot be transferred; None if it can."""
    if len(name) > LONGEST_PATH:  # before the split: it may be a megabyte long
        return f"its path is longer than {LONGEST_PATH} bytes"
    parts = name.split("/")
    if len(parts) > MOST_LEVELS + 1:
        return f"it is nested deeper than {MOST_LEVELS} folders"
    try:
        if len(name.encode()) > LONGEST_PATH:
            return f"its path is longer than {LONGEST_PATH} bytes"
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return next((why for part in parts if (why := _why_not_part(part)) is not None), None)


def can_travel(name: str) -> bool:
    """Return whether a file of this name can be sent to any remote and fetched from there."""
    return why_not(name) is None


def _why_not_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "its name contains a relative path component"
    if not part.isprintable():  # control and format characters, tabs, line ends, any space except the usual one
        return "its name has characters that cannot be printed"
    if part[0] == " " or part[-1] in " .":
        return "its name begins or ends with a space, or ends with a dot, which some stores drop"
    if _SUBSTITUTES.intersection(part) or not part.strip(_FULL_STOP):
        return "its name has a character that rclone uses as a substitute for another"
    if len(part.encode()) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} bytes"
    return None


def same_place(name: str) -> str:
    """Normalise a name such that names equal on a case-insensitive or Unicode-normalising store are equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def quoted(name: str) -> str:
    """Return a name quoted for a log or a message: escaped, and truncated to one line."""
    return repr(name if len(name) <= LONGEST_QUOTED else f"{name[: LONGEST_QUOTED - 3]}...")
