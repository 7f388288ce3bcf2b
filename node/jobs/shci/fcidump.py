"""Write molecular integrals to an FCIDUMP file, in bounded memory, with a proof of its content.

The format is Knowles and Handy's (Comput. Phys. Commun. 54, 75 (1989)) in the dialect that PySCF, PyCI and Dice read:
header entries on one line each, then `value i j k l` in chemists' notation (ij|kl), i >= j, k >= l, ij >= kl, then
`value i j 0 0` for the one-electron integrals and `value 0 0 0 0` for the core energy. Numbers are written with as many
digits as reproduce the same double.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import h5py  # type: ignore[import-untyped]
import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyscf import ao2mo, lib, scf
from pyscf.tools.fcidump import ORBSYM_MAP

from spotwave.node.jobs.shci.integrals_proof import Fingerprint, IntegralsProof, same_integrals
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock
from spotwave.node.jobs.shci.scf.mean_field import Array, with_symmetry

__all__ = ["IntegralsProof", "same_integrals", "write_fcidump"]

Pairs = NDArray[np.int16]

SMALLEST = 1e-15  #: Hartree; smaller integrals are rounding noise and are omitted: readers take missing ones for zero
_BLOCK = 1 << 18  # integrals converted to text at a time: about 30 MB
_GIB = 1024**3


def write_fcidump(
    hf: HartreeFock,
    path: Path,
    *,
    frozen: int,
    orbsym: bool = False,
    max_memory_gib: float,
) -> IntegralsProof:
    """Write the integrals over the orbitals of `hf`, except its lowest `frozen` ones, which are part of the core.

    With `orbsym` the orbitals' irreps are labelled in Molpro's numbering if molecule and orbitals have symmetry;
    otherwise all labels are 1, which is always correct. `path` appears only when complete. If the integrals do not fit
    into a good part of `max_memory_gib`, they are transformed through files next to `path` (16 bytes x n^4/4).

    Raises ValueError if no orbital or no electron would remain.
    """
    n_electrons = int(hf.mol.nelectron) - 2 * frozen
    orbitals = np.asarray(hf.mo_coeff[:, frozen:], order="F")
    if frozen < 0 or n_electrons < 1 or orbitals.shape[1] < 1 or np.any(hf.mo_occ[:frozen] != 2):
        raise ValueError(f"{frozen} frozen orbitals are impossible for {hf.mol.nelectron} electrons")
    core_energy, one_electron = _core(hf, frozen, max_memory_gib)
    labels = _irreps(hf, frozen) if orbsym else [1] * orbitals.shape[1]
    header = _header(orbitals.shape[1], n_electrons, int(hf.mol.spin), labels)
    fingerprint = Fingerprint(orbitals.shape[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            out = _Hashing(file)
            out.write(header.encode())
            _write_two_electron(hf, orbitals, out, fingerprint, max_memory_gib)
            _write_one_electron(one_electron, out)
            out.write(f"{core_energy!r} 0 0 0 0\n".encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return IntegralsProof(
        sha256=out.hexdigest(),
        n_orbitals=orbitals.shape[1],
        n_electrons=n_electrons,
        spin=int(hf.mol.spin),
        core_energy=core_energy,
        fingerprint=fingerprint.numbers(one_electron),
    )


class _Hashing:
    """File wrapper that computes the SHA-256 of the written data."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sum = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._sum.update(data)
        self._file.write(data)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


def _header(n_orbitals: int, n_electrons: int, spin: int, labels: list[int]) -> str:
    # Dice needs NORB and NELEC on the first line and &END alone on its own; PySCF allows at most ten lines.
    symmetry = ",".join(map(str, labels))
    return f"&FCI NORB={n_orbitals},NELEC={n_electrons},MS2={spin},\n ORBSYM={symmetry},\n ISYM=1,\n&END\n"


def _core(hf: HartreeFock, frozen: int, max_memory_gib: float) -> tuple[float, Array]:
    """Return core energy (Hartree) and one-electron integrals over the remaining orbitals, in the frozen ones' field.

    E_core = E_nuc + Tr D (h + V/2) and h_eff = h + V, with V = J(D) - K(D)/2 of the frozen density D.
    """
    field = scf.RHF(hf.mol)
    field.verbose = 0
    field.max_memory = max_memory_gib * 1024
    one_electron = field.get_hcore()
    energy = hf.nuclear_repulsion
    if frozen:
        core = hf.mo_coeff[:, :frozen]
        density = 2 * core @ core.T
        coulomb, exchange = field.get_jk(hf.mol, density)
        potential = coulomb - exchange / 2
        energy += float(np.einsum("ij,ji->", density, one_electron + potential / 2))
        one_electron = one_electron + potential
    orbitals = hf.mo_coeff[:, frozen:]
    return float(energy), np.asarray(orbitals.T @ one_electron @ orbitals)


def _irreps(hf: HartreeFock, frozen: int) -> list[int]:
    """Return irreps of the remaining orbitals in Molpro's numbering; all 1 if there is no symmetry."""
    if hf.labels is None:
        return [1] * (hf.mo_coeff.shape[1] - frozen)
    numbering = ORBSYM_MAP[with_symmetry(hf.mol).groupname]
    return [int(numbering[irrep]) for irrep in hf.labels[frozen:]]


def _write_two_electron(
    hf: HartreeFock, orbitals: Array, out: _Hashing, fingerprint: Fingerprint, max_memory_gib: float
) -> None:
    n = orbitals.shape[1]
    first, second = (index.astype(np.int16) + np.int16(1) for index in np.tril_indices(n))
    for start, rows in _transformed(hf, orbitals, max_memory_gib):
        fingerprint.add(start, rows)
        pairs = np.arange(start, start + len(rows))
        lengths = pairs + 1
        values = np.concatenate([row[:length] for row, length in zip(rows, lengths, strict=True)])
        frame = pl.DataFrame(
            {
                "value": values,
                "i": np.repeat(first[pairs], lengths),
                "j": np.repeat(second[pairs], lengths),
                "k": np.concatenate([first[:length] for length in lengths]),
                "l": np.concatenate([second[:length] for length in lengths]),
            }
        )
        _write_frame(frame, out)


def _transformed(hf: HartreeFock, orbitals: Array, max_memory_gib: float) -> Iterator[tuple[int, Array]]:
    """Yield rows (ij| of the matrix (ij|kl) over pairs i >= j, in blocks: index of first row, rows (rows, pairs)."""
    n_ao, n = orbitals.shape
    n_pairs = n * (n + 1) // 2
    # AO integrals (8-fold), half-transformed and transformed ones (4-fold) exist at the same time.
    incore_gib = (n_ao**4 + 2 * n**2 * n_ao**2 + 2 * n**4) / _GIB
    if incore_gib < max_memory_gib / 2:
        matrix = ao2mo.full(hf.mol.intor("int2e", aosym="s8"), orbitals, verbose=0)
        yield from _blocks(matrix.reshape(n_pairs, n_pairs))
        return
    with TemporaryDirectory(prefix=".fcidump-", dir=hf.chkfile.parent) as folder:
        file = str(Path(folder) / "integrals.h5")
        with lib.temporary_env(lib.param, TMPDIR=folder):
            ao2mo.outcore.full(
                hf.mol,
                orbitals,
                file,
                dataname="eri",
                max_memory=max_memory_gib * 1024 / 2,
                ioblk_size=min(256.0, max_memory_gib * 1024 / 8),
                verbose=0,
            )
        with h5py.File(file, "r") as stored:
            yield from _blocks(stored["eri"])


def _blocks(matrix: Array | h5py.Dataset) -> Iterator[tuple[int, Array]]:
    n_pairs = matrix.shape[0]
    start = 0
    while start < n_pairs:
        stop = min(n_pairs, start + max(1, _BLOCK // n_pairs))
        yield start, np.asarray(matrix[start:stop])
        start = stop


def _write_one_electron(matrix: Array, out: _Hashing) -> None:
    i, j = np.tril_indices(len(matrix))
    zero = np.zeros(len(i), dtype=np.int16)
    columns = {"value": matrix[i, j], "i": i + 1, "j": j + 1, "k": zero, "l": zero}
    _write_frame(pl.DataFrame(columns), out)


def _write_frame(frame: pl.DataFrame, out: _Hashing) -> None:
    text = io.BytesIO()
    frame.filter(pl.col("value").abs() > SMALLEST).write_csv(text, separator=" ", include_header=False)
    out.write(text.getbuffer())
