"""Basis sets as text: parsed line by line with core potentials, or refused with the wrong line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyscf.gto.basis import load, load_ecp, parse_nwchem, parse_nwchem_ecp

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import resolve
from spotwave.node.jobs.shci.basis_sets.nwchem_text import LONGEST, read
from spotwave.node.jobs.shci.calculation import Calculation, check
from tests.node.chemistry import hartree_fock

HYDROGEN = """#----------------------------------------
# Basis Set Exchange
#----------------------------------------

BASIS "ao basis" SPHERICAL PRINT
#BASIS SET: (4s) -> [2s]
H    S
      0.18731137E+02       0.3349460E-01
      0.28253937D+01       0.23472695d+00
      0.6401217E+00       0.81375733E+00
H    S
      0.1612778E+00       1.0000000
END
"""
CARBON = """BASIS "ao basis" PRINT
C    S
  71.6168370   0.15432897
  13.0450960   0.53532814
   3.5305122   0.44463454
C    SP
   2.9412494  -0.09996723   0.15591627
   0.6834831   0.39951283   0.60768372
   0.2222899   0.70011547   0.39195739
END
"""


def of_pyscf(name: str, element: str) -> str:
    """Return the set as text in NWChem's format."""
    shells, ecp = load(name, element), load_ecp(name, element)
    text = f"BASIS\n{parse_nwchem.convert_basis_to_nwchem(element, shells)}\nEND\n"
    return text + (f"ECP\n{parse_nwchem_ecp.convert_ecp_to_nwchem(element, ecp)}\nEND\n" if ecp else "")


def test_a_text_gives_the_same_functions_as_pyscf() -> None:
    assert read(HYDROGEN).shells["H"] == load("6-31g", "H")
    assert read(CARBON).shells["C"] == load("sto-3g", "C")
    assert read(CARBON.replace(" SP", " L")).shells == read(CARBON).shells
    for name, element in (("def2-svp", "I"), ("lanl2dz", "Cu"), ("sbkjc", "O"), ("cc-pvqz", "O")):
        found = read(of_pyscf(name, element))
        assert [shell[0] for shell in found.shells[element]] == [shell[0] for shell in load(name, element)]
        ecp = load_ecp(name, element)
        if not ecp:
            assert not found.ecps
            continue
        assert found.ecps[element][0] == ecp[0]
        assert [(angular, [len(terms) for terms in powers]) for angular, powers in found.ecps[element][1]] == [
            (angular, [len(terms) for terms in powers]) for angular, powers in ecp[1]
        ]


def test_a_text_gives_the_same_energy_as_the_name(tmp_path: Path) -> None:
    text = of_pyscf("lanl2dz", "I")
    calculation = Calculation(molecule="I 0 0 0; I 0 0 2.666", basis=text)
    assert check(calculation).n_electrons == 14
    assert hartree_fock(calculation, tmp_path).energy == pytest.approx(-22.307234220040, abs=1e-7)
    mixed = Calculation(molecule="I 0 0 0; H 0 0 1.6", basis={"I": text, "default": "6-31g"})
    assert check(mixed).n_electrons == 8


def test_a_text_made_for_a_core_potential_must_contain_it() -> None:
    text = of_pyscf("sbkjc", "O")
    assert resolve(text, ["O"]).ecps["O"][0] == 2
    alone = text.partition("ECP")[0]
    with pytest.raises(InputError, match="'O nelec 0'"):
        resolve(alone, ["O"])
    assert resolve(f"{alone}ECP\nO nelec 0\nEND\n", ["O"]).ecps == {}, "explicitly without a potential"


def test_a_cartesian_text_needs_the_parameter() -> None:
    text = of_pyscf("6-31g*", "O").replace("BASIS\n", 'BASIS "ao basis" CARTESIAN PRINT\n')
    with pytest.raises(InputError, match="Set cartesian to true"):
        check(Calculation(molecule="O 0 0 0", spin=2, basis=text))
    assert check(Calculation(molecule="O 0 0 0", spin=2, basis=text, cartesian=True)).n_orbitals == 15
    without_d = HYDROGEN.replace("SPHERICAL", "CARTESIAN")
    assert check(Calculation(molecule="H 0 0 0", spin=1, basis=without_d)).n_orbitals == 2


BAD = {
    "an element without functions": ("H S\n 1.0 1.0\n", "no functions for O"),
    "a shell without numbers": ("O S\nO P\n1 1\n", "a shell of O without a coefficient"),
    "only zeros": ("O S\n1 0\n", "a shell of O without a coefficient"),
    "an exponent below zero": ("O S\n-1 1\n", "not positive"),
    "an exponent alone": ("O S\n1\n2\n", "not an exponent with its coefficients"),
    "rows of two lengths": ("O S\n2 1 1\n1 1\n", "a different number of coefficients"),
    "three numbers for SP": ("O SP\n2 1\n", "not an exponent with its coefficients"),
    "an invalid shell": ("O X\n2 1\n", "the line 'O X' is not a line of a basis set"),
    "an unknown element": ("Qq S\n2 1\n", "the line 'Qq S' is not a line"),
    "a word among numbers": ("O S\n2 one\n", "the line '2 one' is not a line of numbers"),
    "numbers before an element": ("2 1\nO S\n2 1\n", "does not belong to an element"),
    "prose": ("This is\nmy basis set\n", "not a line of a basis set"),
    "a format of another program": ("****\nO 0\nS 3 1.0\n", "not a line"),
    "a number too large": ("O S\n1e13 1\n", "beyond 1e+12"),
    "too many rows": ("O S\n" + "1 1\n" * 41, "exceeds 40 exponents"),
    "too many shells": ("O S\n1 1\n" * 201, "exceeds 200 shells"),
    "nothing": ("BASIS\nEND\n", "contains no functions"),
    "a core of all electrons": ("O S\n1 1\nECP\nO nelec 8\n", "an impossible number of core electrons"),
    "a core of one electron": ("O S\n1 1\nECP\nO nelec 1\n", "an impossible number of core electrons"),
    "a core twice": ("O S\n1 1\nECP\nO nelec 2\nO nelec 2\n", "second of its element"),
    "a channel twice": ("O S\n1 1\nECP\nO nelec 2\nO ul\n2 1 1\nO ul\n", "second of its kind"),
    "a channel before the electrons": ("O S\n1 1\nECP\nO ul\n2 1 1\n", "not a line of a core potential"),
    "a core without its local part": ("O S\n1 1\nECP\nO nelec 2\nO s\n2 1 1\n", "without its part 'ul'"),
    "an invalid power of r": ("O S\n1 1\nECP\nO nelec 2\nO ul\n7 1 1\n", "not a power of r"),
    "a spin-orbit term": ("O S\n1 1\nECP\nO nelec 2\nO ul\n2 1 1 1\n", "not a power of r"),
    "terms without a channel": ("O S\n1 1\nECP\nO nelec 2\n2 1 1\n", "does not belong to a channel"),
    "too long": ("O S\n" + "1 1\n" * (LONGEST // 4), f"at most {LONGEST}"),
    "a line too long": ("O S\n1 " + "1 " * 600 + "\n", "characters"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_text_is_refused_with_its_line(case: str) -> None:
    text, message = BAD[case]
    with pytest.raises(InputError) as caught:
        resolve(text, ["O"])
    assert caught.value.parameter == "basis"
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
