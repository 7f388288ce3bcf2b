"""Read a PySCF checkpoint file without PySCF, which would evaluate parts of the stored molecule as Python.

The file comes from the remote, which others may be able to write to. So only numbers of the sizes that the calculation
expects and the molecule's arrays are read.
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
MOST_BYTES = 1 << 33  # of the file; ten thousand orbitals take 0.8 GB


@dataclass(frozen=True)
class Orbitals:
    """The stored mean field. Only the shapes are checked."""

    mo_coeff: NDArray[np.float64]
    mo_occ: NDArray[np.float64]
    mo_energy: NDArray[np.float64]
    e_tot: float  #: Hartree


def read_molecule(path: Path) -> gto.Mole:
    """Read atoms and basis functions for a comparison; the molecule is not suited for calculations.

    Raises OSError, KeyError, ValueError or TypeError if the file is not an SCF checkpoint.
    """
    with h5py.File(path, "r") as file:
        text = _dataset(file, "mol")
        if text.shape != () or text.dtype.kind not in "OS" or path.stat().st_size > MOST_BYTES:
            raise ValueError("its molecule is invalid")
        return _molecule(text[()])


def read_orbitals(path: Path, n_functions: int) -> Orbitals:
    """Read orbitals over `n_functions` basis functions. Shapes are checked first: a small file can declare huge arrays.

    Raises as `read_molecule` does.
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
    """Return a dataset of the file itself. HDF5 also has links to other files, which are refused."""
    parts = name.split("/")
    for n in range(len(parts)):
        if not isinstance(file.get("/".join(parts[: n + 1]), getlink=True), h5py.HardLink):
            raise ValueError(f"it has no dataset {name}")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise ValueError(f"it has no dataset {name}")
    return found


def _molecule(text: bytes | str) -> gto.Mole:
    """Return a molecule with the arrays for atoms and functions in PySCF's JSON."""
    try:
        return _of_arrays(json.loads(text))
    except (RecursionError, OverflowError, AttributeError) as error:
        raise ValueError(f"its molecule is invalid: {error}") from error


def _of_arrays(stored: dict[str, Any]) -> gto.Mole:
    mol = gto.Mole()
    mol._atm = np.array(stored["_atm"], dtype=np.int32).reshape(-1, gto.mole.ATM_SLOTS)
    mol._bas = np.array(stored["_bas"], dtype=np.int32).reshape(-1, gto.mole.BAS_SLOTS)
    mol._env = np.array(stored["_env"], dtype=np.float64).reshape(-1)
    mol._atom = [(str(atom[0]), [float(x) for x in atom[1]]) for atom in stored["_atom"]]
    mol.charge, mol.spin, mol.cart = int(stored["charge"]), int(stored["spin"]), bool(stored.get("cart", False))
    _check_pointers(mol)
    mol._built = True
    return mol


def _check_pointers(mol: gto.Mole) -> None:
    """Check that all indices into the arrays are within bounds. Raises ValueError."""
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
        raise ValueError("its molecule is inconsistent")
