"""Nearly degenerate states of broken bonds, for which a Davidson solver with a bad restart does not converge.

Full CI energies: PySCF 2.14 (equal to psi4 where available), Hartree.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.invariants import of_another_spin
from spotwave.node.jobs.shci.programs.davidson import NotConverged, lowest_eigenpair
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from tests.node.chemistry import dump, quiet, task_for

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")


@on_linux
@pytest.mark.parametrize(
    ("molecule", "eps1", "exact", "within", "pure"),
    [
        # States of all spins are within 1e-5 here, and the lowest is a mixture of them, which causes a warning.
        ("N 0 0 0; N 0 0 4.0", 1e-3, -107.4380343284, 1e-5, False),
        # The lowest singlet is 1-Sigma-g+ at 1.8, and 1-Delta-g at 2.0; the start has the symmetry of the former.
        ("C 0 0 0; C 0 0 1.8", 5e-4, -74.5302923, 1e-5, True),
        ("C 0 0 0; C 0 0 2.0", 5e-4, -74.4951427, 1e-5, True),
        pytest.param(
            "; ".join(f"H 0 0 {3.0 * n}" for n in range(10)),
            1e-3,
            -4.6683004539,
            2e-3,
            False,
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_broken_bond_ends_near_full_ci(
    molecule: str, eps1: float, exact: float, within: float, pure: bool, tmp_path: Path
) -> None:
    proof = dump(Calculation(molecule=molecule, basis="sto-3g"), tmp_path)
    task = task_for(proof, tmp_path, eps1=eps1, eps2=eps1 / 100)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda iteration: None)
    assert energies.total_energy == pytest.approx(exact, abs=within)
    assert energies.variational_energy > exact
    assert energies.s_squared is not None
    assert (of_another_spin(task, energies) is None) == (energies.s_squared < 0.05)
    assert energies.s_squared < 0.05 or not pure


def test_nearly_degenerate_states_are_distinguished() -> None:
    """Ten eigenvalues within 1e-4, and a start that is mostly the wrong eigenvector."""
    random = np.random.default_rng(7)
    size = 400
    levels = np.concatenate([-1 - 1e-5 * np.arange(10), np.linspace(0, 3, size - 10)])
    rotation, _ = np.linalg.qr(np.eye(size) + 0.05 * random.standard_normal((size, size)))
    matrix = (rotation * levels) @ rotation.T
    start = rotation[:, 0] + 1e-3 * rotation[:, 9]
    value, vector = lowest_eigenpair(lambda x: matrix @ x, np.diag(matrix).copy(), start)
    assert value == pytest.approx(levels.min(), abs=1e-9)
    assert np.linalg.norm(matrix @ vector - value * vector) < 1e-5


def test_an_unconverged_solver_reports_a_remedy() -> None:
    matrix = np.diag(np.arange(50.0)) + 0.5
    with pytest.raises(NotConverged, match=r"after 2 iterations, .* raise eps1") as caught:
        lowest_eigenpair(lambda x: matrix @ x, np.diag(matrix).copy(), np.ones(50), max_iterations=2)
    assert "\n" not in str(caught.value)
