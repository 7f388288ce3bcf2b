"""Which names of files can travel: from a machine by rclone to any remote, and home to another computer.

What cannot is left out and named, since one such name must not keep all others away. A name here is a path relative
to the folder that is sent, with '/'.

Backslash and colon travel: rclone writes another character in the place of one that a backend refuses, and puts it
back (its "encoding"). That substitute itself, and the mark that rclone quotes it by, do not come back as they were
(rclone's issues 6098 and 7456), so they are refused.
"""

from __future__ import annotations

import unicodedata

#: Bytes of a file's or folder's own name. Linux allows 255; a program's checkpoint is copied under `.<name>.part`.
LONGEST_NAME = 240
#: Bytes of all of it: object stores take 1024, the remote's path and the job's folder included.
LONGEST_PATH = 700
MOST_LEVELS = 32  #: folders within folders
LONGEST_TOLD = 200  #: characters of a name that is told

_QUOTE = "\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"
_FULL_STOP = "\N{FULLWIDTH FULL STOP}"
_SUBSTITUTES = {_QUOTE, "\N{FULLWIDTH SOLIDUS}", *(chr(code) for code in range(0x2400, 0x2422))}  # control pictures


def why_not(name: str) -> str | None:
    """Why a file of this name cannot travel, in a few words; None if it can."""
    if len(name) > LONGEST_PATH:  # before it is split: it may be a megabyte
        return f"its path is longer than {LONGEST_PATH} bytes"
    parts = name.split("/")
    if len(parts) > MOST_LEVELS + 1:
        return f"it lies deeper than {MOST_LEVELS} folders"
    try:
        if len(name.encode()) > LONGEST_PATH:
            return f"its path is longer than {LONGEST_PATH} bytes"
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return next((why for part in parts if (why := _why_not_part(part)) is not None), None)


def can_travel(name: str) -> bool:
    """Whether a file of this name can be sent to any remote and brought home."""
    return why_not(name) is None


def _why_not_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "its name is a path to somewhere else"
    if not part.isprintable():  # control and format characters, tabs, line ends, every space but the usual one
        return "its name has characters that cannot be printed"
    if part[0] == " " or part[-1] in " .":
        return "its name begins or ends with a space, or ends with a dot, which some stores drop"
    if _SUBSTITUTES.intersection(part) or not part.strip(_FULL_STOP):
        return "its name has a character that rclone takes for another one"
    if len(part.encode()) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} bytes"
    return None


def same_place(name: str) -> str:
    """Equal for two names that a store or a disk which does not tell case (or accents' encodings) takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def told(name: str) -> str:
    """A name as a log or a message can quote it: escaped, in quotes, and not longer than a line."""
    return repr(name if len(name) <= LONGEST_TOLD else f"{name[: LONGEST_TOLD - 3]}...")
