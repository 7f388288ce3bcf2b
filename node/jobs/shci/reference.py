"""Report of the Hartree-Fock solution that a calculation starts from, stored in its checkpoint and result.json."""

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
    """Lowest eigenvalues of the orbital Hessian, Hartree; None if no orbital can be rotated into another.

    internal: within RHF or ROHF; if negative, a lower solution of the same kind exists. external: with different
    orbitals for each spin (UHF); if only this one is negative, several determinants dominate the wave function.
    """

    internal: _Hartree | None
    external: _Hartree | None


class FirstDeterminant(_Told):
    """Determinant that a program starts from, over the same orbitals but lower than the Hartree-Fock determinant.

    alpha, beta: orbitals with an electron of that spin, counted from 0 in the integral file.
    """

    alpha: _Occupied
    beta: _Occupied


class ReportedSolution(_Told):
    """One solution. origin: the initial SCF, a determinant with another occupation, or the mode of an instability."""

    energy: _Hartree
    irrep: Annotated[str, Field(pattern=_IRREP)] | None  #: of the determinant; None without symmetry
    origin: Origin
    stability: Stability
    first_determinant: FirstDeterminant | None = None
    pilot_energy: _Hartree | None = None  #: of SHCI at a loose threshold; None if there was only one start
    pilot_s_squared: Annotated[float, Field(strict=True, ge=-1e-6, le=1e6, allow_inf_nan=False)] | None = None


class Reference(ReportedSolution):
    """The solution that was kept, and the others."""

    others: Annotated[tuple[ReportedSolution, ...], Field(max_length=8)] = ()
    note: Annotated[str, Field(max_length=_LONGEST_NOTE)] = ""  #: remarks for the user
