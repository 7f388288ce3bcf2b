"""Basis sets by name and by element, with core potentials and Cartesian functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spotwave.flows.shci_result import parse_result
from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import label_of, resolve
from spotwave.node.jobs.shci.basis_sets.names import USUAL, meant, of_name, works
from spotwave.node.jobs.shci.calculation import Calculation, build_molecule, check
from spotwave.node.jobs.shci.scf.hartree_fock import load_hartree_fock
from tests.node.chemistry import dump, exact_energy, hartree_fock

WATER = "O 0 0 0.1173; H 0 0.7572 -0.4692; H 0 -0.7572 -0.4692"
N2 = "N 0 0 0; N 0 0 1.1"

# Hartree; PySCF agrees with Psi4 or NWChem.
ENERGIES: list[tuple[dict[str, Any], float]] = [
    ({"molecule": WATER, "basis": "6-31G(d)"}, -76.009108032378),
    ({"molecule": WATER, "basis": "6-31G*"}, -76.009108032378),
    ({"molecule": WATER, "basis": "6-31g(d)", "cartesian": True}, -76.010504988257),
    ({"molecule": N2, "basis": "cc-pCVDZ"}, -108.954575496046),
    ({"molecule": "O 0 0 0", "spin": 2, "basis": "ccecp-cc-pVDZ"}, -15.687249184644),
    ({"molecule": "I 0 0 0; I 0 0 2.666", "basis": "lanl2dz"}, -22.307234220040),
    ({"molecule": "Zn 0 0 0", "basis": "LANL2DZ"}, -63.520556777064),
]


@pytest.mark.parametrize(("asked", "energy"), ENERGIES)
def test_energies_agree_with_other_programs(asked: dict[str, Any], energy: float, tmp_path: Path) -> None:
    calculation = Calculation(**asked)
    check(calculation)
    hf = hartree_fock(calculation, tmp_path)
    assert hf.energy == pytest.approx(energy, abs=1e-8)
    assert load_hartree_fock(calculation, hf.chkfile).energy == hf.energy


def test_integrals_of_cartesian_functions_are_correct(tmp_path: Path) -> None:
    """Compare full CI from an integral file with 6 d functions with PySCF's full CI without that file."""
    from pyscf import fci

    calculation = Calculation(molecule="He 0 0 0; H 0 0 0.8", charge=1, basis="aug-cc-pvdz", cartesian=True)
    assert check(calculation).n_orbitals == 9 + 9
    calculation = calculation.model_copy(update={"molecule": "Li 0 0 0; H 0 0 1.6", "charge": 2, "basis": "6-31g*"})
    assert check(calculation).n_orbitals == check(calculation.model_copy(update={"cartesian": False})).n_orbitals + 1
    dump(calculation, tmp_path)
    hf = load_hartree_fock(calculation, tmp_path / "scf.chk")
    direct = float(fci.FCI(hf.mol.RHF().run(verbose=0)).kernel()[0])
    assert exact_energy(tmp_path / "FCIDUMP") == pytest.approx(direct, abs=1e-9)


def test_stored_parameters_of_earlier_jobs_are_unchanged() -> None:
    """Stored parameters identify a job, so new fields appear only if they are set."""
    assert "cartesian" not in Calculation().model_dump(mode="json")
    assert Calculation(basis="sto-3g").model_dump(mode="json")["basis"] == "sto-3g"
    asked = Calculation(basis={"O": "sto-3g", "default": "6-31g"}, cartesian=True)
    assert Calculation.model_validate(asked.model_dump(mode="json")) == asked
    assert Calculation.model_validate_json(asked.model_dump_json()).cartesian


def test_each_element_can_have_its_own_basis_set() -> None:
    both = resolve({"Cu": "lanl2dz", "default": "6-31g"}, ["Cu", "O", "O"])
    assert sorted(both.shells) == ["Cu", "O"]
    assert both.ecps["Cu"][0] == 10
    assert "O" not in both.ecps
    assert both.shells["O"] == of_name("6-31g", "O").shells
    mol = build_molecule(Calculation(molecule="Cu1 0 0 0; O2 0 0 1.7", spin=1, basis={"Cu": "lanl2dz", "O": "6-31g"}))
    assert (mol.nelectron, mol.nao_nr()) == (29 - 10 + 8, 22 + 9)


@pytest.mark.parametrize(
    ("basis", "text"),
    [
        ({"Cu": "6-31g", "default": "6-31g"}, "the molecule has no Cu"),
        ({"Qq": "6-31g", "default": "6-31g"}, "'Qq' is not an element"),
        ({"o": "6-31g", "default": "6-31g"}, "'o' is not an element"),
        ({"O": "6-31g"}, "has no entry for H. Add one, or 'default'"),
        ({}, "has no entry for H, O"),
        ({"O": "6-31gg", "default": "6-31g"}, "'6-31gg' is unknown. Did you mean 6-31g"),
        ({"O": "6-31g", "H": "6-31g", "default": "6-31gg"}, "'6-31gg' is unknown"),
        ("6-31g(d", "'6-31g(d' is unknown"),
        ("6-31g(d)x", "is unknown"),
        ("6-31g**(d)", "is unknown"),
        ("6-31g(f)(d)", "is unknown"),
        ("3-21g(d)", "is unknown"),
        ("cc-pvdz-jkfit", "is a fitting set, not an orbital basis"),
        ("def2-universal-jfit", "is a fitting set"),
        ("ccecp", "is only a core potential"),
        ("gth-dzvp", "GTH pseudopotentials"),
        ("ccecp@3s2p", "not a basis set name"),
    ],
)
def test_an_unusable_basis_set_is_refused_in_one_line(basis: Any, text: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(basis, ["O", "H", "H"])
    assert caught.value.parameter == "basis"
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_made_for_a_core_potential_is_not_used_without_it() -> None:
    with pytest.raises(InputError, match="core potential of I that PySCF does not have"):
        resolve("minao", ["I"])  # its functions for I are those of cc-pVTZ-PP
    with pytest.raises(InputError, match="core potential of Zn"):
        resolve("bfd-vtz", ["Zn"])  # in PySCF's file the line with the electrons has another form
    assert resolve("ccecp-cc-pvdz", ["H"]).ecps["H"][0] == 0, "a potential without core electrons"
    assert resolve("aug-cc-pvtz-pp", ["Zn"]).ecps["Zn"] == resolve("cc-pvtz-pp", ["Zn"]).ecps["Zn"]
    assert resolve("def2-mtzvp", ["I"]).ecps["I"] == resolve("def2-tzvp", ["I"]).ecps["I"]
    assert resolve("lanl2dz", ["O"]).ecps == {}


def test_brackets_equal_stars_if_they_mean_the_same() -> None:
    for element in ("H", "O", "Zn"):
        assert resolve("6-31G(d)", [element]) == resolve("6-31g*", [element])
        assert resolve("6-31G(d,p)", [element]) == resolve("6-31g**", [element])
    large = resolve("6-311++G(2d,2p)", ["O", "H"]).shells
    assert [sum(len(row[1]) - 1 for row in large["O"] if row[0] == angular) for angular in (0, 1, 2)] == [5, 4, 2]
    assert [sum(len(row[1]) - 1 for row in large["H"] if row[0] == angular) for angular in (0, 1)] == [4, 2]


@pytest.mark.parametrize("wrong", ["6-31gg", "cc-pvdzz", "lanl2dzz", "def2svpp", "ccecp-cc-pvdzz", "aug-cc-pvxz", "dz"])
@pytest.mark.parametrize("elements", [["O", "H"], ["I"], ["Zn", "N"]])
def test_suggested_names_work(wrong: str, elements: list[str]) -> None:
    for name in meant(wrong, elements):
        resolve(name, elements)


def test_names_are_suggested() -> None:
    assert meant("6-31gg", ["O", "H"])[0] == "6-31g"
    assert meant("lanl2dzz", ["I"]) == ["lanl2dz"]
    assert [name for name in USUAL if not any(works(name, [one]) for one in ("O", "I", "Zn", "Al"))] == []
    with pytest.raises(InputError, match=r"has no functions for I. Use a basis set with it, e.g. def2-svp"):
        resolve("cc-pvdz", ["I"])


def test_core_electrons_of_a_potential_cannot_be_removed() -> None:
    with pytest.raises(InputError, match="leaves -1 electrons"):
        check(Calculation(molecule="I 0 0 0", basis="def2-svp", charge=26))


def test_labels_of_basis_sets_are_short() -> None:
    assert label_of("cc-pvdz") == "cc-pvdz"
    assert label_of({"Cu": "lanl2dz", "default": "6-31g"}) == "Cu: lanl2dz, default: 6-31g"
    text = "H S\n 1.0 1.0\n" * 1000
    assert label_of(text).startswith("own basis set ")
    assert len(label_of(text)) < 30
    assert label_of(text) != label_of(text + "#")


def test_the_result_table_mentions_cartesian_functions() -> None:
    energies = {"rhf_energy": -1.0, "variational_energy": -1.1, "total_energy": -1.2, "wall_seconds": {}}
    assert ("functions", "Cartesian: 6 d functions") in parse_result(energies | {"cartesian": True}).rows
    for result in (energies, energies | {"cartesian": False}):
        assert "functions" not in dict(parse_result(result).rows)
