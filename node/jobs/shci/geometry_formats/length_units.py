"""Detect whether a text gives its lengths in Bohr or Angstrom."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import quoted

_BOHR = r"(?:bohrs?|a\.u\.?|au|atomic[ _-]?units?|atomic|b)"
_ANGSTROM = r"(?:angstroe?ms?|ångstr(?:ö|o)ms?|angs?|a|å)"
_END = r"[\"')\]]?\s*[.,]?\s*"
_LONGEST = 60  # characters of a line that states only a unit
# After `units` a short word is unambiguous; alone, au may be gold and b may be boron.
_UNIT = re.compile(rf"\s*units?\s*[=: ]\s*[\"'(\[]?(?:({_BOHR})|({_ANGSTROM})){_END}", re.I)
_ALONE = re.compile(
    r"\s*(?:(?:all |the )?(?:coordinates|geometry|positions|distances)[ :,]*(?:are |given )*(?:in )?|in )?[\"'(\[]?"
    rf"(?:(bohrs?|a\.u\.?|atomic[ _-]units?)|(angstroe?ms?|ångstr(?:ö|o)ms?|angs?)){_END}",
    re.I,
)
_TOKEN = re.compile(rf"(?<![\w-])units?=[\"']?(?:({_BOHR})|({_ANGSTROM}))(?![\w.])", re.I)
# Also matches units that cannot be converted. "Au" alone is gold.
_MENTIONED = re.compile(
    r"(?<![\w-])(?i:units?)=\S{1,20}|\b(?:nm|(?i:nanomet(?:er|re)s?|picomet(?:er|re)s?))\b|"
    r"\b(?:(?i:bohrs?)|(?i:atomic[ _-]units?)|au|AU)\b|\b[aA]\.[uU]\b\.?"
)


def unit_line(line: str) -> bool | None:
    """Return True for a line that states only Bohr, False for only Angstrom, None for any other line."""
    short = " ".join(line.split())
    match = (_UNIT.fullmatch(short) or _ALONE.fullmatch(short)) if len(short) <= _LONGEST else None
    return bool(match[1]) if match else None


def unit_of_comment(comment: str) -> bool | None:
    """Return the unit as `unit_line` does. Raises InputError if it is unclear what a mentioned unit refers to.

    The energy in a comment is often in a.u. while the coordinates are not.
    """
    unit = unit_line(comment)
    if unit is not None:
        return unit
    match = _TOKEN.search(comment)
    if match:
        return bool(match[1])
    mentioned = _MENTIONED.search(comment)
    if mentioned:
        raise InputError(
            "molecule",
            f"the comment {quoted(comment)} mentions {mentioned[0]!r}, but not whether the coordinates use it",
            "Write units=bohr or units=angstrom into it",
        )
    return None


def agreed(stated: list[bool | None]) -> bool | None:
    """Return the unit of a text that may state it several times: True for Bohr, None if it is not stated."""
    units = {unit for unit in stated if unit is not None}
    if len(units) > 1:
        raise InputError("molecule", "states both Bohr and Angstrom", "Remove one of them")
    return units.pop() if units else None
