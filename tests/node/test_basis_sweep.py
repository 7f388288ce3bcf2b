"""Every basis set name of PySCF for a light and a heavy element: usable with its core potential, or refused."""

from __future__ import annotations

import pytest
from pyscf import gto

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import Resolved, resolve
from tests.node.basis_page import ELEMENTS, NAMES, PAGE, as_markdown, sweep

OCCUPIED_S = {"O": 2, "I": 5}  # 1s to 2s, 1s to 5s
FAMILIES_OF_POTENTIALS = ("ccecp", "bfd", "crenbl", "sbkjc", "stuttgart", "qavg")


def _tried(name: str, element: str) -> tuple[Resolved | None, str]:
    try:
        return resolve(name, [element]), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize("element", ELEMENTS)
def test_each_name_works_with_its_core_potential_or_is_refused_in_one_line(element: str) -> None:
    used = 0
    for name in NAMES:
        found, refusal = _tried(name, element)
        if found is None:
            assert refusal.startswith("basis: "), name
            assert "\n" not in refusal, name
            continue
        used += 1
        shells, ecp = found.shells[element], found.ecps.get(element)
        mol = gto.Mole(
            atom=[(element, (0, 0, 0))], basis=found.shells, ecp=found.ecps, charge=0, spin=None, verbose=0
        ).build(dump_input=False, parse_arg=False)
        assert mol.nao_nr() >= (mol.nelectron + 1) // 2, name
        if ecp is not None:
            assert mol.nelectron == gto.charge(element) - ecp[0], name
            assert ecp[0] > 0, name
            continue
        assert not name.startswith(FAMILIES_OF_POTENTIALS), name
        s = [shell for shell in shells if shell[0] == 0]
        assert sum(len(shell[1]) - 1 for shell in s) >= OCCUPIED_S[element], name
        assert max(row[0] for shell in s for row in shell[1:]) > gto.charge(element) ** 2, name
    assert used > 60, "most of them work for at least one element"


def test_the_page_lists_the_result_of_every_name() -> None:
    page = PAGE.read_text()
    assert page == as_markdown(page, sweep()), "run `python -m tests.node.basis_page --write`"
