"""PySCF's own basis sets and core potentials, found by name in its list and read from its files.

PySCF's `load` takes a name for a path if such a file exists, falls back on another package, and evaluates text that is
not a number. Here a user's text never becomes a path, and a name means the same on every computer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pyscf.gto import basis as pyscf_basis
from pyscf.gto.basis import ALIAS, parse_nwchem, parse_nwchem_ecp
from pyscf.lib.exceptions import BasisNotFoundError

from spotwave.node.jobs.shci.pyscf_without_eval import evaluate_nothing

evaluate_nothing()

Shells = list[Any]  #: [[l, [exponent, coefficient, ...], ...], ...] as PySCF takes them
Ecp = list[Any]  #: [core electrons, [[l, terms by power of r], ...]] as PySCF takes it

_FOLDER = Path(pyscf_basis.__file__).parent
_POPLE = re.compile(r"(631|6311)(\+{0,2})g\(((?:[1-3]?[df])+)(?:,((?:[1-3]?[pd])+))?\)")
_POLARIZATION = re.compile(r"[1-3]?[pdf]")


def plain(name: str) -> str:
    """Return the name in the form that PySCF compares: without case, hyphens, underscores and blanks."""
    return re.sub(r"[-_ ]", "", name.lower())


KNOWN: dict[str, tuple[str, ...]] = {
    plain(name): files if isinstance(files, tuple) else (files,) for name, files in ALIAS.items()
}  #: plain name -> its files, read one after the other


def files_of(name: str, symbol: str) -> tuple[str, ...] | None:
    """Return the files of a basis set name; None if it is unknown."""
    key = plain(name)
    return KNOWN.get(key) or _pople_files(key, symbol)


def _pople_files(key: str, symbol: str) -> tuple[str, ...] | None:
    """Return the files of names such as 6-31G(d,p): polarization of heavy atoms, then after the comma of H and He."""
    match = _POPLE.fullmatch(key)
    if match is None:
        return None
    core, diffuse, heavy, light = match.groups()
    # (d) is another spelling of a star (but not in 3-21G*, which has d functions only from Na on). From Sc to Zn the
    # star stands for f functions, which the files by letter lack.
    star = {("d", None): "*", ("d", "p"): "**"}.get((heavy, light))
    if star is not None:
        return KNOWN.get(f"{core}{diffuse}g{star}")
    base = f"{core[0]}-{core[1:]}G"
    letters = (light or "") if symbol in ("H", "He") else heavy
    added = [f"pople-basis/{base}-polarization-{one}.dat" for one in _POLARIZATION.findall(letters)]
    every = [f"pople-basis/{base}-polarization-{one}.dat" for one in _POLARIZATION.findall(heavy + (light or ""))]
    if f"{core}{diffuse}g" not in KNOWN or not all((_FOLDER / file).is_file() for file in every):
        return None
    return (*KNOWN[f"{core}{diffuse}g"], *added)


def functions(name: str, symbol: str) -> Shells | None:
    """Return the functions of a basis set for an element; None if it has none."""
    shells: Shells = []
    for file in files_of(name, symbol) or ():
        found = _functions_in(file, symbol)
        if not found:
            return None
        shells += found
    return shells or None


@lru_cache(maxsize=1024)
def _functions_in(file: str, symbol: str) -> Shells | None:
    if not file.endswith(".dat"):
        return _without_kappa(getattr(import_module(f"pyscf.gto.basis.{file}"), symbol, None))
    try:
        return parse_nwchem.load(str(_FOLDER / file), symbol, False)  # type: ignore[no-any-return]
    except (BasisNotFoundError, ValueError):  # a file with only core potentials, or in another format
        return None


def _without_kappa(shells: Shells | None) -> Shells | None:
    """Remove kappa, which some sets give for spinors; PySCF's checkpoint files do not keep it."""
    if shells is None:
        return None
    return [[shell[0], *(shell[2:] if isinstance(shell[1], int) else shell[1:])] for shell in shells]


@lru_cache(maxsize=1024)
def core_potential(name: str, symbol: str) -> Ecp | None:
    """Return the effective core potential in the file of this name; None if there is none or it cannot be read."""
    for file in KNOWN.get(plain(name), ()):
        if file.endswith(".dat"):
            try:
                found = parse_nwchem_ecp.load(str(_FOLDER / file), symbol)
            except (BasisNotFoundError, ValueError):
                continue
            if found:
                return found  # type: ignore[no-any-return]
    return None
