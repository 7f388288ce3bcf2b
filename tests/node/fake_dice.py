"""Imitates Dice: reads input.dat and the FCIDUMP's header, prints its tables and writes its restart files.

The energies are invented (a geometric series) and depend only on eps1 and eps2. DICE_MODE: crash, garbage, slow.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

STARS = "*" * 62


def read_input(path: str) -> dict[str, list[str]]:
    """Return keyword -> its words; the lines after `schedule` and `nocc` are under `schedule` and `occupied`."""
    lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip() and line[0] != "#"]
    options: dict[str, list[str]] = {}
    rest = iter(lines)
    for words in rest:
        options[words[0].lower()] = words[1:]
        if words[0] in ("schedule", "nocc"):
            key = "occupied" if words[0] == "nocc" else "schedule"
            options[key] = next(rest)
            while next(rest)[0].lower() != "end":
                pass
    return options


def main() -> int:
    rank, mode = os.environ.get("FAKE_RANK", "0"), os.environ.get("DICE_MODE", "")
    options = read_input(sys.argv[1])
    header = Path(options["orbitals"][0]).read_text()[:400]
    if not header.startswith("&FCI NORB=") or "&END" not in header:
        print("could not read the norbs or nelec")
        return 0
    if len(options["occupied"]) != int(options["nocc"][0]):
        print(f"nocc: {options['nocc'][0]} neq {len(options['occupied'])}")
        return 0
    eps1, eps2 = float(options["schedule"][1]), float(options["epsilon2"][0])
    print("\n    | | | | |/ __/ _ \\\n    |____/|_|\\___\\___|   v1.0\n\n")
    print("Commit:           0123456789abcdef0123456789abcdef01234567")
    if mode == "crash":
        print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr)
        return 134
    print(f"{STARS}\nVARIATIONAL STEP  \n{STARS}")
    print("Iter Root       Eps1   #Var. Det.               Energy   #Davidson     Time(s)")
    limit, first = -2.0 - eps1, 0
    if "fullrestart" in options:
        # As in Dice: each rank reads its own file, and the first line shows what was read.
        stored = Path(f"{rank}-variational.bkp").read_text().split()
        Path(f"{rank}-hamiltonian.bkp").read_bytes()
        first = int(stored[0]) + 1
        print(
            f"{stored[0]:>4}    0    {eps1:.2e}  {stored[1]:>11} -   {float(stored[2]):18.10f}        0.21", flush=True
        )
    for count, k in enumerate(range(first, 4)):
        energy, size = limit + 0.1 ** (k + 1), 1000 + 100 * k
        print(f"{count:4d}    0    {eps1:.2e}  {size:11d} {energy:18.10f}          8  {0.1 * k:10.2f}", flush=True)
        Path(f"{rank}-variational.bkp").write_text(f"{k} {size} {energy!r}")
        Path(f"{rank}-hamiltonian.bkp").write_bytes(b"h" * 1000)
        if mode == "slow":
            time.sleep(4)
    print("Performing final tight davidson with tol: 1e-07\nExiting variational iterations\n")
    variational = limit + 1e-4
    print(
        f"Variational calculation result\nRoot             Energy     Time(s)\n   0  {variational:18.10f}        0.73\n"
    )
    print("State :   0\n   0      -0.9639407140  2 2 0 0 \n   1       0.0484248288  2 0 2 0 \n")
    if mode == "garbage":
        print("PTEnergy:    nan")
        return 0
    print(f"{STARS}\nPERTURBATION THEORY STEP  \n{STARS}")
    if "deterministic" in options:
        print(f"Deterministic PT calculation converged\nPTEnergy:    {variational - 0.1:.10f}\nTime(s):        7.39\n")
    else:
        large = float(options["epsilon2large"][0])
        print(f"1/ Deterministic calculation with epsilon2={large:g}\nDeterministic PT calculation converged")
        print(f"PTEnergy:    {variational - 0.1:.10f}\nTime(s):        8.69\n")
        print(f"2/ Stochastic calculation with epsilon2={eps2:g}")
        print("  Iter          EPTcurrent  State             EPTavg      Error     Time(s)")
        print(f"     1  {variational - 0.11:18.10f}      0 {variational - 0.12:18.10f}         --       10.16")
        print(f"     5  {variational - 0.11:18.10f}      0 {variational - 0.12:18.10f}   9.39e-05       15.30")
        print("Semistochastic PT calculation converged")
        print(f"PTEnergy:    {variational - 0.12:.10f} +/- 4.88e-05\nTime(s):       30.46\n")
    print(f"{STARS}\nReturning without error\n{STARS}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
