"""Parser for the text of a basis set in NWChem's format, as given by basissetexchange.org.

PySCF's parsers accept any line that resembles theirs, and evaluate text that is not a number as Python. So each line is
checked here, and PySCF is given only numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from pyscf import gto
from pyscf.data.elements import ELEMENTS

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.pyscf_library import Ecp, Shells

Shell = list[Any]

LONGEST = 100_000  #: characters; the largest sets of BSE have 30 000 for one element
_LONGEST_LINE = 1000
_MOST_ROWS = 40  # of one shell: libcint's limit
_MOST_COLUMNS = 40
_MOST_SHELLS = 200  # of one element
_LARGEST = 1e12  # largest exponent (1/Bohr^2) or coefficient
_SHELLS = {letter: angular for angular, letter in enumerate("SPDFGHI")}
_CHANNELS = {"UL": -1} | {letter: angular for angular, letter in enumerate("SPDFGH")}
_POWERS = 7  # r^0 to r^6, as PySCF stores them
_SYMBOLS = {symbol.upper(): symbol for symbol in ELEMENTS[1:]}
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})(?:[EeDd][+-]?[0-9]{1,3})?")
_BASIS = re.compile(r'BASIS(?: +"[^"]{0,80}")?((?: +(?:SPHERICAL|CARTESIAN|PRINT|NOPRINT))*)', re.IGNORECASE)
_REMEDY = "Give the text that basissetexchange.org gives in the format NWChem"


@dataclass
class BasisText:
    """Content of the text, by element."""

    shells: dict[str, Shells] = field(default_factory=dict)
    ecps: dict[str, Ecp] = field(default_factory=dict)
    """Without channels after `X nelec 0`, which states that the set holds all electrons."""
    says_cartesian: bool = False


def is_text(basis: str) -> bool:
    """Return whether `basis` is the text of a file rather than a name."""
    return "\n" in basis.strip()


def read(text: str) -> BasisText:
    """Parse the text. Raises InputError("basis", ...) quoting the line that is wrong."""
    if len(text) > LONGEST:
        raise InputError(
            "basis", f"its text has {len(text)} characters", f"Give at most {LONGEST}: only the elements needed"
        )
    found = BasisText()
    reader = _Reader(found)
    for line in _lines(text):
        reader.take(line)
    _check_whole(found)
    return found


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if len(line) > _LONGEST_LINE:
            raise _wrong(line, f"has {len(line)} characters")
        bare = line.split("#")[0].strip()
        if not bare.isascii() or not bare.replace("\t", " ").isprintable():
            raise _wrong(line, "has characters that are not allowed")
        if bare:
            yield " ".join(bare.split())


class _Reader:
    """Parser state: whether in functions or potentials, the element, the current shell or channel."""

    def __init__(self, found: BasisText) -> None:
        self._found = found
        self._in_ecp = False
        self._open: list[Shell] = []  # shells that the next rows belong to: one, or two for SP
        self._terms: list[list[list[float]]] | None = None  # terms of the current channel, by power of r

    def take(self, line: str) -> None:
        if (match := _BASIS.fullmatch(line)) is not None:
            self._begin(in_ecp=False)
            self._found.says_cartesian |= "CARTESIAN" in match[1].upper()
        elif line.upper() == "ECP":
            self._begin(in_ecp=True)
        elif line.upper() == "END":
            self._begin(in_ecp=False)
        elif line[0].isalpha():
            (self._channel if self._in_ecp else self._shell)(line, line.upper().split(" "))
        else:
            (self._term if self._in_ecp else self._row)(line)

    def _begin(self, *, in_ecp: bool) -> None:
        self._in_ecp, self._open, self._terms = in_ecp, [], None

    def _shell(self, line: str, words: list[str]) -> None:
        kind = "SP" if words[-1] == "L" else words[-1]
        if len(words) != 2 or words[0] not in _SYMBOLS or not (kind == "SP" or kind in _SHELLS):
            raise _wrong(line, "is not a line of a basis set")
        shells = self._found.shells.setdefault(_SYMBOLS[words[0]], [])
        self._open = []
        for letter in kind:
            shell: Shell = [_SHELLS[letter]]
            shells.append(shell)
            self._open.append(shell)
        if len(shells) > _MOST_SHELLS:
            raise _wrong(line, f"exceeds {_MOST_SHELLS} shells of one element")

    def _row(self, line: str) -> None:
        numbers = _numbers(line)
        if not self._open:
            raise _wrong(line, "does not belong to an element")
        split = len(self._open) == 2
        rows = self._open[0][1:]
        if len(numbers) < 2 or (split and len(numbers) != 3) or len(numbers) > _MOST_COLUMNS:
            raise _wrong(line, "is not an exponent with its coefficients")
        if numbers[0] <= 0:
            raise _wrong(line, "begins with an exponent that is not positive")
        if rows and not split and len(rows[0]) != len(numbers):
            raise _wrong(line, "has a different number of coefficients than the line above")
        if len(rows) == _MOST_ROWS:
            raise _wrong(line, f"exceeds {_MOST_ROWS} exponents of one shell")
        for shell, row in zip(self._open, [[numbers[0], c] for c in numbers[1:]] if split else [numbers], strict=True):
            shell.append(row)

    def _channel(self, line: str, words: list[str]) -> None:
        if words[0] not in _SYMBOLS:
            raise _wrong(line, "is not a line of a core potential")
        symbol = _SYMBOLS[words[0]]
        if len(words) == 3 and words[1] == "NELEC":
            if not re.fullmatch("[0-9]{1,3}", words[2]) or int(words[2]) % 2 or int(words[2]) >= gto.charge(symbol):
                raise _wrong(line, f"has an impossible number of core electrons for {symbol}")
            if symbol in self._found.ecps:
                raise _wrong(line, "is the second of its element")
            self._found.ecps[symbol] = [int(words[2]), []]
            self._terms = None
            return
        if len(words) != 2 or words[1] not in _CHANNELS or symbol not in self._found.ecps:
            raise _wrong(line, "is not a line of a core potential")
        angular, channels = _CHANNELS[words[1]], self._found.ecps[symbol][1]
        if angular in [known for known, _ in channels]:
            raise _wrong(line, "is the second of its kind")
        self._terms = [[] for _ in range(_POWERS)]
        channels.append([angular, self._terms])

    def _term(self, line: str) -> None:
        numbers = _numbers(line)
        if self._terms is None:
            raise _wrong(line, "does not belong to a channel of a core potential")
        if len(numbers) != 3 or numbers[0] not in range(_POWERS) or numbers[1] <= 0:
            raise _wrong(line, "is not a power of r (0 to 6), exponent and coefficient")
        terms = self._terms[int(numbers[0])]
        if len(terms) == _MOST_ROWS:
            raise _wrong(line, f"exceeds {_MOST_ROWS} terms of one power")
        if numbers[2] != 0:
            terms.append(numbers[1:])


def _check_whole(found: BasisText) -> None:
    if not found.shells:
        raise InputError("basis", "its text contains no functions", _REMEDY)
    for symbol, shells in found.shells.items():
        for shell in shells:
            columns = list(zip(*shell[1:], strict=True))[1:]
            if not columns or not all(any(column) for column in columns):
                raise InputError("basis", f"its text has a shell of {symbol} without a coefficient", _REMEDY)
    for symbol, (core, channels) in found.ecps.items():
        if core and -1 not in [angular for angular, _ in channels]:
            raise InputError("basis", f"its text has a core potential of {symbol} without its part 'ul'", _REMEDY)
        channels.sort(key=lambda channel: int(channel[0]))


def _numbers(line: str) -> list[float]:
    words = line.split(" ")
    if not all(_NUMBER.fullmatch(word) for word in words):
        raise _wrong(line, "is not a line of numbers")
    numbers = [float(word.upper().replace("D", "E")) for word in words]
    if not all(isfinite(one) and abs(one) <= _LARGEST for one in numbers):
        raise _wrong(line, f"has a number beyond {_LARGEST:g}")
    return numbers


def _wrong(line: str, problem: str) -> InputError:
    line = line.strip()
    shown = ascii(line if len(line) <= 60 else f"{line[:57]}...")
    return InputError("basis", f"in its text the line {shown} {problem}", _REMEDY)
