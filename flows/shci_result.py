"""Validation of result.json of an SHCI job. The file comes from a machine, by way of the remote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spotwave.flows.loop.story import InvalidResult
from spotwave.node.jobs.shci.digits import in_digits
from spotwave.node.jobs.shci.programs.plausible_values import MOST_DETERMINANTS, MOST_HARTREE, MOST_SECONDS
from spotwave.node.jobs.shci.reference import Reference

_Hartree = Annotated[float, Field(strict=True, ge=-MOST_HARTREE, le=MOST_HARTREE, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(strict=True, ge=0, le=MOST_SECONDS, allow_inf_nan=False)]


class ShciResult(BaseModel):
    """The figures that are shown, and those that later jobs learn from; other fields are left as they are."""

    model_config = ConfigDict(frozen=True)

    rhf_energy: _Hartree
    hf_method: Literal["RHF", "ROHF"] = "RHF"
    cartesian: Annotated[bool, Field(strict=True)] = False
    s_squared: Annotated[float, Field(strict=True, ge=-1e-6, le=1e6, allow_inf_nan=False)] | None = None
    variational_energy: _Hartree
    total_energy: _Hartree
    determinants: Annotated[int, Field(strict=True, ge=0, le=MOST_DETERMINANTS)] | None = None
    error_bar: Annotated[float, Field(strict=True, ge=0, le=MOST_HARTREE, allow_inf_nan=False)] | None = None
    threshold_error: Annotated[float, Field(strict=True, ge=0, le=MOST_HARTREE, allow_inf_nan=False)] | None = None
    reference: Reference | None = None  #: None in results of versions that did not record it
    wall_seconds: Annotated[dict[Annotated[str, Field(max_length=100)], _Seconds], Field(max_length=100)]

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Return the main results as (title, value). Energies in Hartree."""
        rows = [
            (f"{self.hf_method} energy", f"{self.rhf_energy:.10f} Ha"),
            ("variational energy", f"{self.variational_energy:.8f} Ha"),
            ("total energy", f"{in_digits(self.total_energy, self.error_bar or self.threshold_error)} Ha"),
            ("determinants", f"{self.determinants:,}" if self.determinants else "unknown"),
        ]
        if self.error_bar is not None:
            rows.append(("error bar", f"{self.error_bar:.1e} Ha"))
        if self.threshold_error is not None:
            rows.append(("left out by eps2", f"about {self.threshold_error:.0e} Ha"))
        if self.s_squared is not None:
            rows.append(("<S^2>", f"{self.s_squared:.4f}"))
        if self.reference is not None:
            rows.append((f"{self.hf_method} reference", _described(self.reference)))
        if self.cartesian:
            rows.append(("functions", "Cartesian: 6 d functions"))
        return rows


def _described(reference: Reference) -> str:
    """Describe irrep and stability. Eigenvalues in Hartree."""
    internal, external = reference.stability.internal, reference.stability.external
    parts = [] if reference.irrep is None else [f"irrep {reference.irrep}"]
    if internal is not None:
        parts.append(f"lowest eigenvalue of its orbital Hessian {internal:.4f} Ha")
    if external is not None:
        parts.append(f"{external:.4f} Ha with orbitals of each spin")
    if reference.first_determinant is not None:
        parts.append("started from a lower determinant")
    if reference.others:
        parts.append(f"chosen of {len(reference.others) + 1}")
    return ", ".join(parts) or "one determinant"


def parse_result(result: Mapping[str, Any]) -> ShciResult:
    """Validate result.json. Raises InvalidResult."""
    try:
        return ShciResult.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "it"
        raise InvalidResult(
            f"result.json: {field} is not valid for an SHCI calculation ({first['msg'].lower()}). The machine reported "
            "success: look at its log beside the result, and run the job again"
        ) from None
