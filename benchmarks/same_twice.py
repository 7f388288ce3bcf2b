"""Reproducibility of results: with one thread, with two threads, and with the summation order of another CPU.

    python -m benchmarks.same_twice

Molecules with degenerate orbitals (pi, e and t levels) are computed six times, each time in a new process: twice with
one thread, twice with two, twice with the BLAS kernels and NumPy loops of an older CPU (OPENBLAS_CORETYPE,
NPY_DISABLE_CPU_FEATURES). Prints whether the integrals have the same hash with one thread, and the maximum differences
of the total energies in Hartree (`same_energy_...`, `same_energy_other_cpu_...`). The exit code is 1 if a hash differs,
or an energy by more than the limit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.accuracy import computed

SYSTEMS: dict[str, dict[str, Any]] = {
    "n2": {"geometry": "N 0 0 0; N 0 0 1.1", "basis": "6-31g"},
    "benzene": {
        "geometry": "; ".join(
            f"{element} {x} {y} 0"
            for element, radius in (("C", 1.39), ("H", 2.48))
            for x, y in (
                (radius, 0),
                (radius / 2, radius * 0.8660254037844386),
                (-radius / 2, radius * 0.8660254037844386),
                (-radius, 0),
                (-radius / 2, -radius * 0.8660254037844386),
                (radius / 2, -radius * 0.8660254037844386),
            )
        ),
        "basis": "sto-3g",
        "eps1": 1e-2,
    },
    "ch4": {
        "geometry": "C 0 0 0; H .63 .63 .63; H .63 -.63 -.63; H -.63 .63 -.63; H -.63 -.63 .63",
        "basis": "6-31g",
    },
    "h6_ring": {
        "geometry": "H 1 0 0; H .5 .8660254037844386 0; H -.5 .8660254037844386 0; H -1 0 0; "
        "H -.5 -.8660254037844386 0; H .5 -.8660254037844386 0",
        "basis": "6-31g",
    },
}
OLDER = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
}
SAME, OTHER_CPU = 1e-9, 1e-7  # Hartree


def once(name: str, threads: int, more: dict[str, str]) -> dict[str, Any]:
    """Run the calculation in a new process, and return the result of `benchmarks.accuracy.computed`."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | more
    command = [sys.executable, "-m", "benchmarks.same_twice", name, str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def main() -> int:
    wrong = 0
    for name in SYSTEMS:
        ways: list[tuple[int, dict[str, str]]] = [(1, {}), (2, {}), (1, OLDER)]
        one, two, other = ([once(name, threads, more) for _ in range(2)] for threads, more in ways)
        hashes = {results["integrals_sha256"] for results in one}
        here = [results["total"] for results in one + two]
        spread = max(here) - min(here)
        apart = max(abs(results["total"] - one[0]["total"]) for results in other)
        sys.stdout.write(f"same_hash_{name} {int(len(hashes) == 1)}\n")
        sys.stdout.write(f"same_energy_{name} {spread:.1e}\nsame_energy_other_cpu_{name} {apart:.1e}\n")
        wrong += len(hashes) > 1 or spread > SAME or apart > OTHER_CPU
    return int(wrong > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        system = {"name": sys.argv[1], "charge": 0, "spin": 0, "cartesian": False, "frozen_core": True}
        sys.stdout.write(json.dumps(computed(system | SYSTEMS[sys.argv[1]], int(sys.argv[2]), exact=False)) + "\n")
        sys.exit(0)
    sys.exit(main())
