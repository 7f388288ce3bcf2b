"""What is told of the Hartree-Fock solution that a calculation starts from: in its checkpoint and in result.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from spotwave.node.jobs.shci.programs.plausible_values import MOST_HARTREE

Origin = Literal["start", "occupation", "instability"]

_Hartree = Annotated[float, Field(strict=True, ge=-MOST_HARTREE, le=MOST_HARTREE, allow_inf_nan=False)]
_LONGEST_NOTE = 2000
_MOST_ORBITALS = 10_000
_Occupied = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=0, lt=_MOST_ORBITALS)], ...], Field(max_length=_MOST_ORBITALS)
]
_IRREP = """^[A-Za-z0-9'"]{1,8}$"""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stability(_Told):
    """Lowest eigenvalues of the orbital Hessian, Hartree; None where no orbital can be rotated into another.

    internal: within RHF or ROHF; where it is negative, a lower solution of the same kind exists. external: with other
    orbitals for each spin (UHF); where it alone is negative, several determinants lead the wave function.
    """

    internal: _Hartree | None
    external: _Hartree | None


class FirstDeterminant(_Told):
    """Where a program starts if not from the Hartree-Fock determinant: a lower one over the same orbitals.

    alpha, beta: orbitals with an electron of that spin, counted from 0 in the integral file.
    """

    alpha: _Occupied
    beta: _Occupied


class ReportedSolution(_Told):
    """One solution. origin: the SCF's own start, a determinant of another occupation, or an instability's mode."""

    energy: _Hartree
    irrep: Annotated[str, Field(pattern=_IRREP)] | None  #: of the determinant, where there is symmetry
    origin: Origin
    stability: Stability
    first_determinant: FirstDeterminant | None = None
    pilot_energy: _Hartree | None = None  #: of SHCI at a loose threshold; None where there was nothing to choose
    pilot_s_squared: Annotated[float, Field(strict=True, ge=-1e-6, le=1e6, allow_inf_nan=False)] | None = None


class Reference(ReportedSolution):
    """The one that was kept, and the others."""

    others: Annotated[tuple[ReportedSolution, ...], Field(max_length=8)] = ()
    note: Annotated[str, Field(max_length=_LONGEST_NOTE)] = ""  #: what the user should know of it
