"""Consistency checks between the steps of a calculation, whatever the program.

If one fails, the job ends, because its answer would be wrong without any other sign.
"""

from __future__ import annotations

from spotwave.node.jobs.shci.fcidump_energies import determinant_energy, lower_bound
from spotwave.node.jobs.shci.programs.base import Energies, SolverTask

REFERENCE = 1e-8  # Hartree: allowed difference of the determinant's energy from the file and the Hartree-Fock energy
VARIATIONAL = 1e-6  # Hartree: allowed rounding of a program's energies
IMPURE = 0.05  # deviation of <S^2> from S (S + 1) above which a state has another spin or is a mixture


class Contradiction(RuntimeError):
    """Two values contradict each other; the message gives both."""


def prove_reference(task: SolverTask, hf_energy: float) -> float:
    """Return the energy (Hartree) of the program's first determinant, computed from the integral file, after checks.

    The determinant of the first orbitals must have the Hartree-Fock energy; another one, if chosen, must be lower.
    Raises Contradiction.
    """
    found = determinant_energy(task.fcidump, range(task.n_alpha), range(task.n_beta))
    if not abs(found - hf_energy) < REFERENCE:
        raise Contradiction(
            f"the first determinant of the integral file has {found:.10f} Hartree, Hartree-Fock {hf_energy:.10f}: "
            "orbitals or integrals are wrong, and so would the answer be. Please report this input"
        )
    if task.first_determinant is None:
        return found
    for orbitals, electrons in zip(task.first_determinant, (task.n_alpha, task.n_beta), strict=True):
        if (
            len(set(orbitals)) != len(orbitals)
            or len(orbitals) != electrons
            or not set(orbitals) <= set(range(task.n_orbitals))
        ):
            raise Contradiction(
                f"the first determinant {orbitals} does not fit {electrons} electrons in {task.n_orbitals} orbitals"
            )
    lower = determinant_energy(task.fcidump, *task.first_determinant)
    if not lower < found:
        raise Contradiction(
            f"the first determinant was chosen to be lower than Hartree-Fock, but has {lower:.10f} Hartree, and "
            f"Hartree-Fock {found:.10f}: orbitals or integrals are wrong. Please report this input"
        )
    return lower


def prove_energies(task: SolverTask, energies: Energies, *, reference: float) -> None:
    """Check that the variational energy is between the lower bound and the energy of the first determinant.

    reference: the latter, Hartree. Raises Contradiction.
    """
    found = energies.variational_energy
    if found > reference + VARIATIONAL:
        raise Contradiction(
            f"{energies.program} ended with a variational energy of {found:.10f} Hartree, above {reference:.10f} of "
            "the first determinant that it starts from: the result is invalid. See shci.log"
        )
    bound = lower_bound(task.fcidump, task.n_orbitals, task.n_alpha, task.n_beta)
    if found < bound - VARIATIONAL:
        raise Contradiction(
            f"{energies.program} ended with a variational energy of {found:.10f} Hartree, below {bound:.10f}, the "
            "lower bound for these electrons: the result is invalid. See shci.log"
        )


def of_another_spin(task: SolverTask, energies: Energies) -> str | None:
    """Return a warning if the wave function has another spin than requested; None if it has not, or is unknown."""
    wanted = task.spin / 2 * (task.spin / 2 + 1)
    if energies.s_squared is None or abs(energies.s_squared - wanted) <= IMPURE:
        return None
    return (
        f"<S^2> is {energies.s_squared:.3f}, but should be {wanted:g} for {task.spin} unpaired electrons: the state "
        "has another spin, or is a mixture. Lower eps1; if it remains, a state of another spin is lower in energy."
    )
