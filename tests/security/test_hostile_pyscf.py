"""Inputs that PySCF would execute: a basis set file, a settings file, the molecule in a checkpoint file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import pytest
from pyscf import gto

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import resolve
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.scf.hartree_fock import DifferentCalculation, load_hartree_fock
from tests.node.chemistry import hartree_fock
from tests.security.rows import Row
from tests.security.tried import params

Hurt = Callable[[h5py.File, Path], None]

EVALUATED = "not executed, and rejected in one line"
BASES = {
    "a file, by @ and a contraction": "evil.nw@1s",
    "a file in a folder": "folder/evil.nw@1s",
    "a file": "evil.nw",
    "an empty name before @": "@1s",
    "several lines": "H S\n__import__('os').system('touch pwned') 1",
    "a name of another file system": "~/evil.nw@1s",
    "a letter that looks like @": "evil.nw\uff201s",
    "a text, Python as an exponent": "BASIS\nH S\n __import__('os').system('touch${IFS}pwned') 1.0\nEND",
    "a text, Python as a coefficient": "H S\n 1.0 __import__('os').system('touch${IFS}pwned')\n",
    "a text, Python in a core potential": "H S\n 1.0 1.0\nECP\nH nelec 0\nH ul\n2 1.0 open('pwned','w')\nEND",
    "a text, Python for the core electrons": "H S\n 1.0 1.0\nECP\nH nelec open('pwned','w')\n",
    "a text that names a file": "BASIS\nH library evil.nw\nEND",
    "a text of a million lines": "H S\n" + "1 1\n" * 1_000_000,
    "a text of a hundred thousand shells": "H S\n1 1\n" * 10_000,
    "a text with digits of another script": "H S\n \u0661.0 1.0\n",
    "a text with a number of ten thousand digits": "H S\n " + "1" * 900 + " 1.0\n",
    "a text with infinity": "H S\n 1e999 1.0\n",
    "a text with a terminal's escape": "H S\n 1.0 1.0\n\x1b[2J\n",
}
BASIS_ROWS = [Row("basis", attack, EVALUATED) for attack in BASES]


@pytest.mark.parametrize(
    ("row", "name"),
    [pytest.param(row, name, id=row.attack) for row, name in zip(BASIS_ROWS, BASES.values(), strict=True)],
)
def test_invalid_basis_set_is_rejected(row: Row, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "BASIS\nH S\n 1.0 __import__('os').system('touch pwned')\nEND\n"
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "evil.nw", tmp_path / "folder/evil.nw"):
        path.write_text(evil)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="basis") as caught:
        resolve(name, ["H"])
    assert not (tmp_path / "pwned").exists()
    assert "\n" not in str(caught.value)


def test_pyscf_itself_evaluates_nothing(tmp_path: Path) -> None:
    """Even without Spotwave's validation, and independent of the import order."""
    (tmp_path / "evil.nw").write_text(f"H S\n 1.0 __import__('os').system('touch {tmp_path}/pwned')\n")
    with pytest.raises(ValueError, match="parse"):
        gto.basis.load(str(tmp_path / "evil.nw"), "H")
    with pytest.raises(ValueError, match=r"parse|float"):
        gto.M(atom=f"H 0 0 __import__('os').system('touch${{IFS}}{tmp_path}/pwned')", verbose=0)
    assert not (tmp_path / "pwned").exists()


SETTINGS = {
    "in the folder where it runs": ({}, ".pyscf_conf.py"),
    "in the home folder": ({"HOME": "home"}, "home/.pyscf_conf.py"),
    "named by the environment": ({"PYSCF_CONFIG_FILE": "conf.py"}, "conf.py"),
}
SETTINGS_ROWS = [Row("settings of PySCF", attack, "it is not executed") for attack in SETTINGS]


@pytest.mark.parametrize(
    "module", ["spotwave.node.jobs.shci.calculation", "spotwave.node.jobs.shci.programs.pyscf_program"]
)
def test_foreign_settings_file_is_not_executed(module: str, tmp_path: Path) -> None:
    """All three files exist: PySCF uses the first that it finds."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for changes, name in SETTINGS.values():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
        environment |= {key: str(tmp_path / value) for key, value in changes.items()}
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert not (tmp_path / "pwned").exists()


WATER = Calculation(molecule="H 0 0 0; H 0 0 0.74", basis="sto-3g")
PAYLOAD = "__import__('os').system('touch {}')"


def _evaluated(file: h5py.File, pwned: Path) -> None:
    told = json.loads(file["mol"][()])
    told["atom"] = told["basis"] = told["ecp"] = PAYLOAD.format(pwned)
    del file["mol"]
    file["mol"] = json.dumps(told)


def _old_form(file: h5py.File, pwned: Path) -> None:
    del file["mol"]
    file["mol"] = PAYLOAD.format(pwned)


def _pointers(file: h5py.File, pwned: Path) -> None:
    told = json.loads(file["mol"][()])
    told["_bas"][0][5] = 2**31 - 2
    del file["mol"]
    file["mol"] = json.dumps(told)


def _nested(file: h5py.File, pwned: Path) -> None:
    del file["mol"]
    file["mol"] = "[" * 100_000


def _elsewhere(file: h5py.File, pwned: Path) -> None:
    del file["scf/e_tot"]
    file["scf/e_tot"] = h5py.ExternalLink(str(pwned), "x")


def _zeros(file: h5py.File, pwned: Path) -> None:
    del file["scf/mo_coeff"]
    file["scf"].create_dataset("mo_coeff", shape=(10**7, 10**7), dtype="f8", chunks=(1000, 1000))


STORED: dict[str, Hurt] = {
    "Python in the place of atoms, basis and ECP": _evaluated,
    "Python in the place of the molecule": _old_form,
    "a pointer out of its arrays": _pointers,
    "a hundred thousand brackets": _nested,
    "a link to another file": _elsewhere,
    "orbitals of 800 TB, all zero": _zeros,
}
STORED_ROWS = [Row("checkpoint of the SCF", attack, "not executed; the run ends with one line") for attack in STORED]


@pytest.fixture(scope="module")
def chkfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hartree_fock(WATER, tmp_path_factory.mktemp("scf")).chkfile


@pytest.mark.parametrize(("row", "hurt"), params(STORED_ROWS, STORED.values()))
def test_scf_checkpoint_is_not_executed(row: Row, hurt: Hurt, chkfile: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(chkfile, tmp_path / "scf.chk"))
    with h5py.File(path, "r+") as file:
        hurt(file, tmp_path / "pwned")
    before = load_hartree_fock(WATER, chkfile).energy
    # If the evaluated field is not read any more, the rest is valid and accepted.
    if hurt is _evaluated:
        assert load_hartree_fock(WATER, path).energy == before
    else:
        with pytest.raises(DifferentCalculation, match="not a readable SCF checkpoint"):
            load_hartree_fock(WATER, path)
    assert not (tmp_path / "pwned").exists()


ROWS = [*BASIS_ROWS, *SETTINGS_ROWS, *STORED_ROWS]
