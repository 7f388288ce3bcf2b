"""What result.json must hold for an SHCI job to have an answer. It comes from the remote, by way of a machine."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.programs.figures import MOST_DETERMINANTS, MOST_HARTREE, MOST_SECONDS

_Hartree = Annotated[float, Field(strict=True, ge=-MOST_HARTREE, le=MOST_HARTREE, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(strict=True, ge=0, le=MOST_SECONDS, allow_inf_nan=False)]


class ShciResult(BaseModel):
    """The figures that are shown, and those that later jobs learn from; what else there is stays as it is."""

    model_config = ConfigDict(frozen=True)

    rhf_energy: _Hartree
    variational_energy: _Hartree
    total_energy: _Hartree
    determinants: Annotated[int, Field(strict=True, ge=0, le=MOST_DETERMINANTS)] | None = None
    error_bar: Annotated[float, Field(strict=True, ge=0, le=MOST_HARTREE, allow_inf_nan=False)] | None = None
    wall_seconds: Annotated[dict[Annotated[str, Field(max_length=100)], _Seconds], Field(max_length=100)]

    @property
    def seconds(self) -> float:
        """Of computing, all attempts together."""
        return sum(self.wall_seconds.values())

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What a chemist looks for first. Energies in Hartree."""
        rows = [
            ("RHF energy", f"{self.rhf_energy:.10f} Ha"),
            ("variational energy", f"{self.variational_energy:.8f} Ha"),
            ("total energy", f"**{self.total_energy:.8f} Ha**"),
            ("determinants", f"{self.determinants:,}" if self.determinants else "not told"),
        ]
        if self.error_bar is not None:
            rows.append(("error bar", f"{self.error_bar:.1e} Ha"))
        return rows


class NoAnswer(ValueError):
    """The result is none; a line for the user."""


def answer(result: dict[str, Any]) -> ShciResult:
    """Raises NoAnswer."""
    try:
        return ShciResult.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "it"
        raise NoAnswer(
            f"result.json: {field} is not what an SHCI calculation ends with ({first['msg'].lower()}). The machine "
            "said that it had completed: look at its log beside the result, and run the job again"
        ) from None
