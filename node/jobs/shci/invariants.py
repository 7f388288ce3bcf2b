"""What must hold between two steps of a calculation, whatever the program: else the job ends, for its answer would be
wrong without a word."""

from __future__ import annotations

from spotwave.node.jobs.shci.fcidump_energies import determinant_energy, lower_bound
from spotwave.node.jobs.shci.programs.base import Energies, SolverTask

REFERENCE = 1e-8  # Hartree: what the determinant's energy from the file may differ from the Hartree-Fock energy
VARIATIONAL = 1e-6  # Hartree: what a program may round
IMPURE = 0.05  # of <S^2>, beside S (S + 1): what makes a state another one, or a mixture


class Contradiction(RuntimeError):
    """Two figures that cannot both be right; the message tells both."""


def prove_reference(task: SolverTask, hf_energy: float) -> float:
    """The energy (Hartree) of the determinant that the program starts from, computed from the integral file.

    That of the first orbitals is the Hartree-Fock one; another, if one was chosen, lies lower. Raises Contradiction.
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
                f"the first determinant {orbitals} is not of {electrons} electrons in {task.n_orbitals} orbitals"
            )
    lower = determinant_energy(task.fcidump, *task.first_determinant)
    if not lower < found:
        raise Contradiction(
            f"the first determinant has {lower:.10f} Hartree, and was chosen for being lower than Hartree-Fock's "
            f"{found:.10f}: orbitals or integrals are wrong. Please report this input"
        )
    return lower


def prove_energies(task: SolverTask, energies: Energies, *, reference: float) -> None:
    """A variational energy lies between the lowest that these electrons can have and that of the determinant that it
    starts from (`reference`, Hartree). Raises Contradiction."""
    found = energies.variational_energy
    if found > reference + VARIATIONAL:
        raise Contradiction(
            f"{energies.program} ended with a variational energy of {found:.10f} Hartree, above the first "
            f"determinant's {reference:.10f}, which it starts from: that is no answer. Look at shci.log"
        )
    bound = lower_bound(task.fcidump, task.n_orbitals, task.n_alpha, task.n_beta)
    if found < bound - VARIATIONAL:
        raise Contradiction(
            f"{energies.program} ended with a variational energy of {found:.10f} Hartree, below {bound:.10f}, which no "
            "state of these electrons can have: that is no answer. Look at shci.log"
        )


def of_another_spin(task: SolverTask, energies: Energies) -> str | None:
    """A warning where the wave function is not of the spin that was asked for; None where it is, or is not known."""
    wanted = task.spin / 2 * (task.spin / 2 + 1)
    if energies.s_squared is None or abs(energies.s_squared - wanted) <= IMPURE:
        return None
    return (
        f"<S^2> is {energies.s_squared:.3f}, and {wanted:g} for {task.spin} unpaired electrons: the state is of "
        "another spin, or a mixture. Lower eps1; if it stays, a state of another spin lies lower."
    )
