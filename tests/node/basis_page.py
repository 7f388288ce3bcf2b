"""Test every basis set name of PySCF for a light and a heavy element, and write the results to docs/basis-sets.md.

python -m tests.node.basis_page --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyscf.gto.basis import ALIAS, GTH_ALIAS

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import resolve
from spotwave.node.jobs.shci.basis_sets.names import Unusable, of_name

PAGE = Path(__file__).resolve().parents[2] / "docs" / "basis-sets.md"
ELEMENTS = ("O", "I")
# Names outside its list that are accepted by rule.
POPLE = (
    "6-31G(d)",
    "6-31G(d,p)",
    "6-31+G(d)",
    "6-31+G(d,p)",
    "6-31++G(d,p)",
    "6-31G(2d)",
    "6-31G(2d,p)",
    "6-31G(2df,p)",
    "6-31G(3df,3pd)",
    "6-311G(d)",
    "6-311G(d,p)",
    "6-311+G(d,p)",
    "6-311G(2d,2p)",
    "6-311++G(2d,2p)",
    "6-311++G(3df,3pd)",
    "3-21G(d)",
    "4-31G(d)",
)
NAMES = (*ALIAS, *POPLE, *GTH_ALIAS, "DZVP-MOLOPT-GTH")

_BEGIN = "<!-- written by python -m tests.node.basis_page --write -->"


def core_electrons(name: str, element: str) -> int | None:
    """Return the core electrons of the name's core potential; None without one. Raises InputError."""
    ecp = resolve(name, [element]).ecps.get(element)
    return None if ecp is None else int(ecp[0])


def sweep() -> dict[str, list[str]]:
    """Return the result of each name for each element: "all electrons", "ECP of n electrons", or why it is refused."""
    return {name: [_outcome(name, element) for element in ELEMENTS] for name in NAMES}


def _outcome(name: str, element: str) -> str:
    try:
        core = core_electrons(name, element)
    except InputError:
        return f"refused: {_why(name, element)}"
    return "all electrons" if core is None else f"ECP of {core} electrons"


def _why(name: str, element: str) -> str:
    try:
        of_name(name, element)
    except Unusable as error:
        return str(error)
    raise AssertionError(f"{name} is refused for {element} but works")


def as_markdown(page: str, found: dict[str, list[str]]) -> str:
    """Return the page with the generated lists after its manual part."""
    head, mark, _ = page.partition(_BEGIN)
    assert mark, f"{PAGE.name} has no line {_BEGIN}"
    refused = {name: results for name, results in found.items() if all(one.startswith("refused") for one in results)}
    used = {name: results for name, results in found.items() if name not in refused}
    lines = [
        f"{head}{_BEGIN}",
        "",
        f"## Names that work for O or I ({len(used)} of {len(found)})",
        "",
        "| name | O | I |",
        "|--|--|--|",
        *(_row(name, results) for name, results in used.items()),
        "",
        f"## Names that are refused for both ({len(refused)})",
        "",
    ]
    for why in dict.fromkeys(_general(results[0]) for results in refused.values()):
        names = [f"`{name}`" for name, results in refused.items() if _general(results[0]) == why]
        lines += [f"**{why}** ({len(names)}): {', '.join(names)}", ""]
    return "\n".join(lines)


def _row(name: str, results: list[str]) -> str:
    return f"| `{name}` | {' | '.join(results)} |"


def _general(result: str) -> str:
    return result.removeprefix("refused: ").removesuffix(f" for {ELEMENTS[0]}")


if __name__ == "__main__":
    page = as_markdown(PAGE.read_text(), sweep())
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page)
    else:
        sys.stdout.write(page)
