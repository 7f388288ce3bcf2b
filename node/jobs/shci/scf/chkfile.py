"""Reading a PySCF checkpoint file without PySCF, which evaluates as Python what stands in it of the molecule.

The file came back from the remote, which others may write to. So it is taken apart here: numbers of the sizes that
the calculation expects, and the molecule's own arrays.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from pyscf import gto

HIGHEST_ANGULAR = 12
MOST_BYTES = 1 << 33  # of the file: ten thousand orbitals take 0.8 GB


@dataclass(frozen=True)
class Orbitals:
    """The stored mean field, of the right shapes, and nothing else known of it."""

    mo_coeff: NDArray[np.float64]
    mo_occ: NDArray[np.float64]
    mo_energy: NDArray[np.float64]
    e_tot: float  #: Hartree


def read_molecule(path: Path) -> gto.Mole:
    """Atoms and basis functions for a comparison; not a molecule to calculate with.

    Raises OSError, KeyError, ValueError or TypeError for a file that is no SCF checkpoint.
    """
    with h5py.File(path, "r") as file:
        text = _dataset(file, "mol")
        if text.shape != () or text.dtype.kind not in "OS" or path.stat().st_size > MOST_BYTES:
            raise ValueError("its molecule is none")
        return _molecule(text[()])


def read_orbitals(path: Path, n_functions: int) -> Orbitals:
    """Of so many basis functions; looked at before they are read, since a few bytes can stand for any number of zeros.

    Raises as `read_molecule`.
    """
    with h5py.File(path, "r") as file:
        coeff = _dataset(file, "scf/mo_coeff")
        if len(coeff.shape) != 2 or coeff.shape[0] != n_functions or coeff.shape[1] > n_functions:
            raise ValueError(f"orbitals of shape {coeff.shape} for {n_functions} functions")
        found = {}
        for name, shape in (("mo_occ", coeff.shape[1:]), ("mo_energy", coeff.shape[1:]), ("e_tot", ())):
            numbers = _dataset(file, f"scf/{name}")
            if numbers.shape != shape:
                raise ValueError(f"{name} of shape {numbers.shape}")
            found[name] = np.asarray(numbers[()], dtype=np.float64)
        return Orbitals(
            np.asarray(coeff[()], dtype=np.float64), found["mo_occ"], found["mo_energy"], float(found["e_tot"])
        )


def _dataset(file: Any, name: str) -> Any:
    """A dataset of the file itself: HDF5 knows links to other files."""
    parts = name.split("/")
    for n in range(len(parts)):
        if not isinstance(file.get("/".join(parts[: n + 1]), getlink=True), h5py.HardLink):
            raise ValueError(f"there is no {name} in it")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise ValueError(f"there is no {name} in it")
    return found


def _molecule(text: bytes | str) -> gto.Mole:
    """The arrays that name atoms and functions, of PySCF's own JSON."""
    try:
        return _of_arrays(json.loads(text))
    except (RecursionError, OverflowError, AttributeError) as error:
        raise ValueError(f"its molecule is none: {error}") from error


def _of_arrays(told: dict[str, Any]) -> gto.Mole:
    mol = gto.Mole()
    mol._atm = np.array(told["_atm"], dtype=np.int32).reshape(-1, gto.mole.ATM_SLOTS)
    mol._bas = np.array(told["_bas"], dtype=np.int32).reshape(-1, gto.mole.BAS_SLOTS)
    mol._env = np.array(told["_env"], dtype=np.float64).reshape(-1)
    mol._atom = [(str(atom[0]), [float(x) for x in atom[1]]) for atom in told["_atom"]]
    mol.charge, mol.spin, mol.cart = int(told["charge"]), int(told["spin"]), bool(told.get("cart", False))
    _check_pointers(mol)
    mol._built = True
    return mol


def _check_pointers(mol: gto.Mole) -> None:
    """What points into the arrays must stay within them. Raises ValueError."""
    n, atm, bas = len(mol._env), mol._atm.astype(np.int64), mol._bas.astype(np.int64)
    primitives, contracted = bas[:, gto.mole.NPRIM_OF], bas[:, gto.mole.NCTR_OF]
    if (
        len(mol._atom) != len(atm)
        or (bas < 0).any()
        or (bas[:, gto.mole.ATOM_OF] >= len(atm)).any()
        or (bas[:, gto.mole.ANG_OF] > HIGHEST_ANGULAR).any()
        or (bas[:, gto.mole.PTR_EXP] + primitives > n).any()
        or (bas[:, gto.mole.PTR_COEFF] + primitives * contracted > n).any()
        or (atm[:, gto.mole.PTR_COORD] < 0).any()
        or (atm[:, gto.mole.PTR_COORD] + 3 > n).any()
    ):
        raise ValueError("its molecule does not hold together")
