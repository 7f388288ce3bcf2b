"""Common geometry formats are parsed correctly, or refused with the name of the format."""

from __future__ import annotations

import contextlib
import math
import time

import numpy as np
import pytest

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import Calculation, build_molecule, check
from spotwave.node.jobs.shci.geometry import parse_geometry
from tests.node.geometries import BOHR, CASES, ROWS, Case
from tests.node.geometries_page import PAGE, as_markdown

EVERY = [case for cases in CASES.values() for case in cases]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in EVERY if case.atoms])
def test_a_supported_format_is_parsed(case: Case) -> None:
    assert case.atoms
    geometry = parse_geometry(case.text)
    assert geometry.elements == [symbol for symbol, *_ in case.atoms]
    assert np.array([xyz for _, xyz in geometry.atoms]) == pytest.approx(
        np.array([xyz for _, *xyz in case.atoms]), abs=1e-7
    )
    assert (geometry.charge, geometry.multiplicity) == (case.charge, case.multiplicity)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in EVERY if not case.atoms])
def test_an_unsupported_format_is_refused_by_name(case: Case) -> None:
    assert case.refused
    with pytest.raises(InputError) as caught:
        parse_geometry(case.text)
    message = str(caught.value)
    assert message.startswith("molecule: ")
    assert all(part in message for part in case.refused), message
    assert caught.value.remedy
    assert message.isprintable()
    assert len(message) < 400


def test_the_page_lists_the_cases() -> None:
    assert PAGE.read_text() == as_markdown(), "run `python -m tests.node.geometries_page --write`"


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in EVERY}) == len(EVERY) > 100


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in EVERY if case.atoms])
def test_pyscf_accepts_the_parsed_geometry(case: Case) -> None:
    """This includes labels, whose letters PySCF reads as part of the symbol."""
    assert case.atoms
    geometry = parse_geometry(case.text)
    charge = geometry.charge or 0
    spin = (geometry.multiplicity or 1) - 1
    if geometry.multiplicity is None:
        spin = {"H He Li": 0, "H He": 1}.get(" ".join(geometry.elements), 0)
    if {"Xe", "Au", "Co"} & set(geometry.elements):
        return  # not available in this basis, or not a singlet
    calculation = Calculation(molecule=case.text, basis="sto-3g", charge=charge, spin=spin)
    assert check(calculation).n_atoms == len(case.atoms)
    mol = build_molecule(calculation)
    assert [mol.atom_pure_symbol(n) for n in range(mol.natm)] == geometry.elements
    assert mol.atom_coords(unit="Angstrom") == pytest.approx(np.array([xyz for _, *xyz in case.atoms]), abs=1e-7)


def test_the_bohr_radius_equals_that_of_pyscf() -> None:
    mol = build_molecule(Calculation(molecule="units bohr; He 0 0 1", basis="sto-3g"))
    assert mol.atom_coords()[0, 2] == pytest.approx(1.0, abs=1e-14)
    assert parse_geometry("units bohr; He 0 0 1").atoms[0][1][2] == pytest.approx(BOHR, abs=1e-14)


@pytest.mark.parametrize(
    ("head", "parameters", "parameter"),
    [
        ("* xyz -1 1", {}, "charge"),
        ("* xyz 0 3", {}, "spin"),
        ("* xyz 0 1", {"charge": 1, "spin": 1}, "charge"),
    ],
)
def test_parameters_that_contradict_the_text_are_refused(head: str, parameters: dict[str, int], parameter: str) -> None:
    with pytest.raises(InputError, match="differs from the molecule's text") as caught:
        check(Calculation(molecule=f"{head}\n{ROWS}\n*", **parameters))  # type: ignore[arg-type]
    assert caught.value.parameter == parameter


def test_parameters_that_agree_with_the_text_are_accepted() -> None:
    assert check(Calculation(molecule=f"* xyz 1 2\n{ROWS}\n*", charge=1, spin=1)).n_electrons == 9


def test_a_z_matrix_has_the_given_distances_and_angles() -> None:
    text = "C; O 1 1.43; H 2 0.96 1 108.0; H 1 1.09 2 107.0 3 175.0; H 1 1.1 2 112.0 3 -65.0; X 1 1. 2 90. 3 20."
    c, o, h, h1, h2 = (np.array(xyz) for _, xyz in parse_geometry(text).atoms)
    assert np.linalg.norm(o - c) == pytest.approx(1.43)
    assert _angle(h, o, c) == pytest.approx(108.0)
    assert (np.linalg.norm(h1 - c), _angle(h1, c, o), _dihedral(h1, c, o, h)) == pytest.approx((1.09, 107.0, 175.0))
    assert (np.linalg.norm(h2 - c), _angle(h2, c, o), _dihedral(h2, c, o, h)) == pytest.approx((1.1, 112.0, -65.0))


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    one, two = a - b, c - b
    return math.degrees(math.acos(one @ two / np.linalg.norm(one) / np.linalg.norm(two)))


def _dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """Return the dihedral angle by IUPAC's convention: clockwise is positive, seen from b to c."""
    axis = (c - b) / np.linalg.norm(c - b)
    one, two = a - b, d - c
    one, two = one - (one @ axis) * axis, two - (two @ axis) * axis
    return math.degrees(math.atan2(np.cross(axis, one) @ two, one @ two))


@pytest.mark.parametrize(
    "text",
    [
        "V2000 " * 8000,
        "1\n" + "properties=' " * 3800 + "\nHe 0 0 0",
        "1\n" + "a.u" * 16_000 + "\nHe 0 0 0",
        "1\npbc='" + " " * 49_000 + "\nHe 0 0 0",
        "units" + " " * 49_000,
        "atom" * 12_000,
        "-" * 49_000,
        "# units " + "(" * 40_000,
        "geometry={" * 4900,
        "{}" * 24_000,
        "! bohr" * 8000 + "\n* xyz 0 1",
        "the coordinates in " * 2500,
        "O 0 0 0;" * 6000,
    ],
)
def test_parsing_is_fast_for_any_text(text: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(InputError):
        parse_geometry(text)
    assert time.monotonic() - began < 5
