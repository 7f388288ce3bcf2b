from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import (
    WATER_DIMER,
    Calculation,
    CommandProgram,
    build_molecule,
    check,
)

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"


def test_the_default_is_the_water_dimer() -> None:
    size = check(Calculation())
    assert (size.n_atoms, size.n_orbitals, size.n_electrons, size.n_frozen) == (6, 26, 20, 0)
    assert size.integrals_gib == pytest.approx(8 * 26**4 / 8 / 2**30)
    assert build_molecule(Calculation()).energy_nuc() == pytest.approx(36.66284801418409, abs=1e-9)


def test_frozen_core_leaves_fewer_orbitals_and_electrons() -> None:
    size = check(Calculation(basis="aug-cc-pvdz", frozen_core=True))
    assert (size.n_orbitals, size.n_frozen, size.n_correlated_orbitals) == (82, 2, 80)
    assert size.n_correlated_electrons == 16
    assert size.memory_gib > size.integrals_gib


def test_the_default_job_gets_the_memory_that_was_measured() -> None:
    """Measured with PyCI: 1.05 GiB resident besides a run of 0.20, and 1.24 GiB of what the solver's limit counts."""
    needed = check(Calculation()).memory_gib
    assert needed > 1.05 + 0.20
    assert 0.75 * needed > 1.24, "the part of the memory that ShciRun gives to one step"
    assert check(Calculation(basis="sto-3g")).memory_gib < 1.0, "there are only about a million determinants"


def test_memory_grows_with_the_fourth_power() -> None:
    small, large = (check(Calculation(basis=basis)) for basis in ("aug-cc-pvdz", "aug-cc-pvtz"))
    assert large.integrals_gib / small.integrals_gib == pytest.approx((184 / 82) ** 4)
    assert large.memory_gib > 8 * large.integrals_gib  # PyCI holds all n^4


@pytest.mark.parametrize(
    "molecule",
    [
        "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n",
        "\n\n3\n\nO 0 0 0 0.1 forces\nH 0 0.757 0.587\nH 0 -0.757 0.587\n\n",
        "O, 0, 0, 0\n h 0 0.757 0.587 # a comment\n\nH2 0 -0.757 5.87e-1",
        "8 0 0 0; 1 0 0.757 0.587; 1 0 -0.757 0.587",
        "O; H 1 0.957918; H 1 0.957918 2 104.4",
    ],
)
def test_ways_to_write_a_molecule(molecule: str) -> None:
    mol = build_molecule(Calculation(molecule=molecule))
    assert sorted(mol.atom_pure_symbol(i) for i in range(3)) == ["H", "H", "O"]
    assert mol.energy_nuc() == pytest.approx(build_molecule(Calculation(molecule=WATER)).energy_nuc(), abs=1e-2)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"basis": "cc-pvdzz"}, "basis", "Did you mean cc-pvdz"),
    ({"basis": "6-31g(x,y)"}, "basis", "unknown"),
    ({"basis": "nonsense"}, "basis", "sto-3g"),
    ({"basis": ""}, "basis", "not a basis set name"),
    ({"basis": "cc-pvdz", "molecule": "U 0 0 0"}, "basis", "has no functions for U"),
    ({"molecule": "Xx 0 0 0"}, "molecule", "unknown element 'Xx' in the line 'Xx 0 0 0'"),
    ({"molecule": "O 0 0 0; H 0 0.757"}, "molecule", "'H 0 0.757' does not have three coordinates"),
    ({"molecule": "O 0 0 0; H 0 zero 1"}, "molecule", "'zero' is not a number, in the line 'H 0 zero 1'"),
    ({"molecule": "O 0 0 nan"}, "molecule", "'nan' is not a number"),
    ({"molecule": "H 0 0 0; H 0 0 0.01"}, "molecule", "atoms 1 (H) and 2 (H) are 0.010 Angstrom apart"),
    ({"molecule": "4\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0"}, "molecule", "announces 4 atoms, but 3 follow"),
    ({"molecule": "2\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0"}, "molecule", "announces 2 atoms, but 3 follow"),
    ({"molecule": "  \n"}, "molecule", "no atoms"),
    ({"molecule": "O; H 1 0.96; H 1 0.96 1 104"}, "molecule", "'H 1 0.96 1 104'"),
    ({"molecule": "O; H 1"}, "molecule", "'H 1' has 2 fields, not 3"),
    ({"molecule": "__import__('os').getcwd() 0 0 0"}, "molecule", "unknown element"),
    ({"charge": 1}, "spin", "19 electrons (charge +1) cannot have 0 unpaired. Set spin to 1"),
    ({"spin": 1}, "spin", "20 electrons (charge +0) cannot have 1 unpaired. Set spin to 0"),
    ({"spin": -2}, "spin", "negative"),
    ({"spin": 22}, "spin", "22 unpaired electrons of 20"),
    ({"charge": 20}, "charge", "leaves 0 electrons"),
    ({"molecule": "He 0 0 0", "basis": "sto-3g", "spin": 2}, "basis", "too few"),
    ({"molecule": "C 0 0 0", "charge": 4, "frozen_core": True}, "frozen_core", "Set frozen_core to false"),
    ({"eps1": 0.5}, "eps1", "outside 1e-08 to 0.1"),
    ({"eps1": 0.0}, "eps1", "outside"),
    ({"eps1": float("nan")}, "eps1", "outside"),
    ({"eps2": -1e-6}, "eps2", "outside 1e-12 to 0.1"),
    ({"eps1": 1e-4, "eps2": 1e-3}, "eps2", "larger than eps1 = 0.0001"),
    ({"program": "command"}, "command", "no command line"),
    ({"program": "command", "command": {"line": "shci input"}}, "command.line", "Insert {fcidump}"),
    ({"program": "command", "command": {"line": "shci {fcidump} {cores}"}}, "command.line", "{cores}"),
    ({"program": "command", "command": {"line": "shci '{fcidump}"}}, "command.line", "quot"),
    (
        {"program": "command", "command": {"line": "shci {fcidump}", "total_energy": "E=("}},
        "command.total_energy",
        "E=(",
    ),
    (
        {"program": "command", "command": {"line": "shci {fcidump}", "total_energy": "E="}},
        "command.total_energy",
        "group",
    ),
    ({"program": "command", "command": {"line": "x {fcidump}", "git_url": "https://h/x"}}, "command.commit", "commit"),
]


@pytest.mark.parametrize(("change", "parameter", "text"), BAD)
def test_invalid_input_is_reported_in_one_line(change: dict[str, Any], parameter: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        check(Calculation(**change))
    assert caught.value.parameter == parameter
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{parameter}: ")
    assert caught.value.remedy


def test_an_input_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(InputError("basis", "is unknown", "Take another")))
    assert (error.parameter, str(error)) == ("basis", "basis: is unknown. Take another.")


def test_a_valid_command_is_accepted() -> None:
    command = CommandProgram(line="./shci {fcidump} -t {threads} -r {checkpoint} -o {output}")
    assert check(Calculation(program="command", command=command)).n_orbitals == 26


def test_a_heavy_element_gets_its_core_potential() -> None:
    size = check(Calculation(molecule="I 0 0 0", basis="def2-svp", spin=1))
    assert size.n_electrons == 53 - 28


def test_unknown_parameters_are_refused_and_the_schema_has_no_bounds() -> None:
    with pytest.raises(ValidationError):
        Calculation(epsilon=1e-3)  # type: ignore[call-arg]
    schema = str(Calculation.model_json_schema())
    assert "aximum" not in schema
    assert "inimum" not in schema
    assert all(field.description for field in Calculation.model_fields.values())
    assert Calculation().molecule == WATER_DIMER
