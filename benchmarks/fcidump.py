"""Speedup of writing the FCIDUMP of the water dimer in aug-cc-pVDZ, compared with PySCF's own writer.

    python -m benchmarks.fcidump [--rounds 3] [--basis aug-cc-pvdz]

Both writers start from the same converged Hartree-Fock, PySCF's with the AO integrals that it has kept. They write to
the same folder, in turns. First it checks that both files have the same integrals. Prints `fcidump_speedup`, the ratio
of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyscf import scf
from pyscf.tools import fcidump

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.scf.hartree_fock import run_hartree_fock


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


_LINE = r"^\s*(\S+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$"


def two_electron(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the packed index and the value of each (ij|kl) with ij >= kl.

    PySCF writes (ij|kl) and (kl|ij), which in this basis differ by up to 3e-12 due to rounding in its transformation.
    """
    with path.open() as file:
        header = next(number for number, line in enumerate(file, 1) if "&END" in line)
    lines = pl.read_csv(path, has_header=False, separator="\x01", skip_rows=header, new_columns=["line"])
    fields = lines.select(pl.col("line").str.extract_groups(_LINE)).unnest("line")
    value = fields["1"].cast(pl.Float64).to_numpy()
    i, j, k, l = (fields[name].cast(pl.Int64).to_numpy() - 1 for name in "2345")  # noqa: E741
    ij, kl = i * (i + 1) // 2 + j, k * (k + 1) // 2 + l
    wanted = (k >= 0) & (ij >= kl)
    return (ij * (ij + 1) // 2 + kl)[wanted], value[wanted]


def largest_difference(a: Path, b: Path) -> float:
    (index_a, value_a), (index_b, value_b) = two_electron(a), two_electron(b)
    whole = np.zeros(max(index_a.max(), index_b.max()) + 1)
    whole[index_a] = value_a
    whole[index_b] -= value_b
    return float(np.abs(whole).max())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--basis", default="aug-cc-pvdz")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = folder / "ours", folder / "theirs"
        calculation = Calculation(basis=options.basis)
        hf = run_hartree_fock(calculation, folder / "scf.chk", max_memory_gib=4.0, log=lambda line: None)
        field = scf.RHF(hf.mol)
        field.verbose = 0
        field.kernel(dm0=field.make_rdm1(hf.mo_coeff, hf.mo_occ))  # so that it holds its AO integrals
        field.mo_coeff, field.mo_occ, field.mo_energy = hf.mo_coeff, hf.mo_occ, hf.mo_energy

        def write_ours() -> None:
            write_fcidump(hf, ours, frozen=0, max_memory_gib=4.0)

        def write_theirs() -> None:
            fcidump.from_scf(field, str(theirs))

        write_ours()
        write_theirs()
        difference = largest_difference(ours, theirs)
        print(f"# {hf.mo_coeff.shape[1]} orbitals; largest difference of the integrals {difference:.1e}")
        if not difference < 1e-12:
            print("# the files differ: no result")
            return 1
        times = [(seconds(write_ours), seconds(write_theirs)) for _ in range(options.rounds)]
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"fcidump_seconds {mine:.3f}")
    print(f"fcidump_pyscf_seconds {other:.3f}")
    print(f"fcidump_speedup {other / mine:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
