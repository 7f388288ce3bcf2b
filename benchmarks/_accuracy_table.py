"""The page of benchmarks.accuracy: a row a system, nothing left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_SAME_HF = 2e-6  # Hartree: another solution differs by more
_HEAD = """# Accuracy

Every system of `benchmarks/data/reference_energies.json`, computed as a job computes it, beside what psi4, NWChem,
PySCF and Dice have found (recorded in November 2026). Written by `make accuracy` in {seconds:.0f} minutes.
Energies in Hartree.

- **HF** is the solution that the job starts its SHCI from; in brackets how far it is from the lowest recorded one
  (`=`: within 2e-6; positive: ours is higher). A lower solution may be the worse start: pilot calculations decide, and
  a row with `*` keeps a higher one. Beside it the irrep of the determinant, and the lowest eigenvalues of the orbital
  Hessian (internal, external; a negative internal one: no minimum). `low`: SHCI starts from a lower determinant over
  these orbitals, with open shells of opposite spins, whose irrep it is.
- **SHCI** is the total energy at eps1 and eps2 as given, with what eps2 may leave out (its order of magnitude).
  **Recorded**: full CI where it is known, of the spin asked for. "Made here" is PySCF's, where nobody has recorded
  one and it has at most 300,000 determinants: the lowest of any spin. Else SHCI with the same eps1 of an earlier
  `pyci` over orbitals as they were then, or of Dice. SHCI at a finite eps1 depends on the orbitals, so the last of
  its digits may differ. Of systems with more than 31 correlated orbitals a looser threshold is shown, which two cores
  manage in minutes.
- **S^2** of the variational wave function, and what the spin asked for has. Where they differ by more than 0.05 the job
  warns: the state is of another spin, or a mixture, as the broken bonds and the 3d atoms in STO-3G are here.

| system | HF | irrep; stability | eps1, eps2 | determinants | SHCI | recorded | difference | S^2 (asked) | s |
|--|--|--|--|--|--|--|--|--|--|
"""


def page(systems: Iterable[dict[str, Any]], kept: dict[str, dict[str, Any]]) -> str:
    """Markdown. systems: as recorded; kept: by name, as `benchmarks.accuracy.computed` tells them."""
    rows = [_row(system, kept[system["name"]]) for system in systems if system["name"] in kept]
    missing = [system["name"] for system in systems if system["name"] not in kept]
    seconds = sum(one["seconds"] for one in kept.values()) / 60
    text = _HEAD.format(seconds=seconds) + "\n".join(rows) + "\n"
    if missing:
        text += f"\nNot computed yet: {', '.join(missing)}.\n"
    return text


def _row(system: dict[str, Any], one: dict[str, Any]) -> str:
    name = f"`{system['name']}` {system['title']}, {system['basis']}" + (
        ", frozen core" if system["frozen_core"] else ""
    )
    if "failed" in one:
        return f"| {name} | {one['failed'].replace('|', '/')} | | | | | | | | {one['seconds']:.0f} |"
    cells = [name, _hartree_fock(system, one), _stability(one)]
    what, value = _recorded(system)
    if what != "full CI" and one.get("full_ci") is not None:
        what, value = "full CI, made here", one["full_ci"]
    spin = system["spin"] / 2
    error = f" +/- {one['threshold_error']:.0e}" if one["threshold_error"] else ""
    cells += [
        f"{one['eps1']:g}, {one['eps2']:g}",
        f"{one['determinants']:,}",
        f"{one['total']:.8f}{error}",
        "" if value is None else f"{value:.8f} ({what})",
        "" if value is None else f"{one['total'] - value:+.1e}",
        "" if one["s_squared"] is None else f"{one['s_squared']:.4f} ({spin * (spin + 1):g})",
        f"{one['seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _hartree_fock(system: dict[str, Any], one: dict[str, Any]) -> str:
    lowest = (system["hartree_fock"] or {}).get("lowest_energy") or (
        ((system["hartree_fock"] or {}).get("unnamed") or {}).get("energy")
    )
    higher = " *" if one["hf"] > one["lowest"] + _SAME_HF else ""
    if lowest is None:
        return f"{one['hf']:.8f}{higher}"
    difference = one["hf"] - lowest
    return f"{one['hf']:.8f} ({'=' if abs(difference) < _SAME_HF else f'{difference:+.4f}'}){higher}"


def _stability(one: dict[str, Any]) -> str:
    values = [one["stability"][kind] for kind in ("internal", "external")]
    shown = ", ".join("-" if value is None else f"{value:.3f}" for value in values)
    start = " low" if one.get("first_determinant") else ""
    return f"{one.get('irrep') or '-'}{start}; {shown}"


def _recorded(system: dict[str, Any]) -> tuple[str, float | None]:
    """Full CI of the state with the spin that was asked for, else SHCI."""
    wanted = system["spin"] / 2 * (system["spin"] / 2 + 1)
    full = system["full_ci"] or {}
    for energy, square in zip(full.get("roots") or [], full.get("s_squared") or [], strict=False):
        if abs(square - wanted) < 0.1:
            return "full CI", energy
    for one in system["shci"]:
        value = one["total_energy"] or one["energy_of_unstated_kind"]
        if value is not None:
            return one["program"] or "recorded SHCI", value
    return "", None
