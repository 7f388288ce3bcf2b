"""Basis sets: is the name known, for these elements, and which name may have been meant."""

from __future__ import annotations

import re
import warnings
from difflib import get_close_matches
from pathlib import Path

from pyscf import gto
from pyscf.gto.basis import ALIAS
from pyscf.lib.exceptions import BasisNotFoundError

from node.geometry import BadInput

# What PySCF's own parsing of a basis name ends in, besides the error that it means.
_UNKNOWN = (BasisNotFoundError, LookupError, OSError, ValueError, AssertionError)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._,+*()-]*")
# As people write them; PySCF's own list has no hyphens.
_USUAL_NAMES = (
    "sto-3g",
    "3-21g",
    "6-31g",
    "6-31g*",
    "6-31g**",
    "6-31+g",
    "6-31++g**",
    "6-311g",
    "6-311g**",
    "6-311++g**",
    "cc-pvdz",
    "cc-pvtz",
    "cc-pvqz",
    "cc-pv5z",
    "aug-cc-pvdz",
    "aug-cc-pvtz",
    "aug-cc-pvqz",
    "cc-pcvdz",
    "cc-pwcvdz",
    "def2-svp",
    "def2-svpd",
    "def2-tzvp",
    "def2-tzvpp",
    "def2-qzvp",
    "ano-rcc-mb",
    "ano-rcc-vdz",
    "lanl2dz",
)


def check_basis(basis: str, elements: list[str]) -> None:
    """Raises BadInput for a name that PySCF does not know, or one without functions for one of the elements."""
    name = basis.strip()
    # PySCF would read a file of this name, also in `file@contraction`, and evaluate what is no number in it.
    if not _NAME.fullmatch(name) or Path(name).is_file():
        raise BadInput("basis", f"{basis!r} is no basis set name", "Take a name that PySCF knows, e.g. cc-pvdz")
    missing = [symbol for symbol in sorted(set(elements)) if not _has_basis(name, symbol)]
    if not missing:
        return
    if any(_has_basis(name, symbol) for symbol in ("H", "C", "Au", *elements)):
        raise BadInput(
            "basis", f"{basis!r} has no functions for {', '.join(missing)}", "Take a basis set with it, e.g. def2-svp"
        )
    # PySCF compares names without hyphens, underscores and case, and so do we; people read the usual spelling.
    close = get_close_matches(_plain(name), list(ALIAS), n=3, cutoff=0.6)
    known = {_plain(usual): usual for usual in _USUAL_NAMES}
    if not close:
        raise BadInput("basis", f"{basis!r} is unknown", "Take e.g. sto-3g, 6-31g, cc-pvdz, aug-cc-pvdz, def2-svp")
    hint = ", ".join(known[one] for one in close if one in known) or ", ".join(close)
    raise BadInput("basis", f"{basis!r} is unknown", f"Did you mean {hint}?")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def _has_basis(name: str, symbol: str) -> bool:
    try:
        with warnings.catch_warnings():
            # It only advertises another package.
            warnings.filterwarnings("ignore", message=".*basis-set-exchange.*")
            return bool(gto.basis.load(name, symbol))
    except _UNKNOWN:
        return False


def has_ecp(name: str, symbol: str) -> bool:
    """Whether the basis set comes with an effective core potential for the element."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*basis-set-exchange.*")
            return bool(gto.basis.load_ecp(name, symbol))
    except _UNKNOWN:
        return False
