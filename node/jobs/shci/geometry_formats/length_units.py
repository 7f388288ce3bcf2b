"""Whether a text says Bohr or Angstrom."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import told

_BOHR = r"(?:bohrs?|a\.u\.?|au|atomic[ _-]?units?|atomic|b)"
_ANGSTROM = r"(?:angstroe?ms?|ångstr(?:ö|o)ms?|angs?|a|å)"
_END = r"[\"')\]]?\s*[.,]?\s*"
_LONGEST = 60  # characters of a line that says a unit and nothing else
# With `units` before it a short word is clear; alone, au is gold, b is boron.
_UNIT = re.compile(rf"\s*units?\s*[=: ]\s*[\"'(\[]?(?:({_BOHR})|({_ANGSTROM})){_END}", re.I)
_ALONE = re.compile(
    r"\s*(?:(?:all |the )?(?:coordinates|geometry|positions|distances)[ :,]*(?:are |given )*(?:in )?|in )?[\"'(\[]?"
    rf"(?:(bohrs?|a\.u\.?|atomic[ _-]units?)|(angstroe?ms?|ångstr(?:ö|o)ms?|angs?)){_END}",
    re.I,
)
_TOKEN = re.compile(rf"(?<![\w-])units?=[\"']?(?:({_BOHR})|({_ANGSTROM}))(?![\w.])", re.I)
# Units that are not converted are spoken of too. Au is gold.
_MENTIONED = re.compile(
    r"(?<![\w-])(?i:units?)=\S{1,20}|\b(?:nm|(?i:nanomet(?:er|re)s?|picomet(?:er|re)s?))\b|"
    r"\b(?:(?i:bohrs?)|(?i:atomic[ _-]units?)|au|AU)\b|\b[aA]\.[uU]\b\.?"
)


def unit_line(line: str) -> bool | None:
    """True for a line that says Bohr and nothing else, False for Angstrom, None for any other line."""
    short = " ".join(line.split())
    match = (_UNIT.fullmatch(short) or _ALONE.fullmatch(short)) if len(short) <= _LONGEST else None
    return bool(match[1]) if match else None


def unit_of_comment(comment: str) -> bool | None:
    """As `unit_line`; InputError where a unit is spoken of and it is not clear of what.

    The energy in a comment is often in a.u. while the coordinates are not.
    """
    said = unit_line(comment)
    if said is not None:
        return said
    match = _TOKEN.search(comment)
    if match:
        return bool(match[1])
    mentioned = _MENTIONED.search(comment)
    if mentioned:
        raise InputError(
            "molecule",
            f"the comment {told(comment)} says {mentioned[0]!r}, and it is not clear whether the coordinates are in it",
            "Write units=bohr or units=angstrom into it",
        )
    return None


def agreed(said: list[bool | None]) -> bool | None:
    """The unit of a text in which it may be said several times: True for Bohr, None where nothing is said."""
    units = {unit for unit in said if unit is not None}
    if len(units) > 1:
        raise InputError("molecule", "says both Bohr and Angstrom", "Leave one of them")
    return units.pop() if units else None
