"""The SHCI flow: energy of a molecule by semistochastic heat-bath CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import ValidationError

from spotwave.flows.loop.run_job import Done
from spotwave.flows.loop.story import Needs, Preset, Row, Story
from spotwave.flows.loop.story_flow import story_flow
from spotwave.flows.shci_result import parse_result
from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.programs import program_for
from spotwave.tasks.records import Job
from spotwave.tasks.results.convergence import draw_convergence

# Parameters that identify a calculation: a checkpoint with other values cannot be continued. Thresholds are excluded.
_IDENTITY = ("molecule", "charge", "spin", "basis", "cartesian", "frozen_core", "program", "command")
_LOWERS_EPS1 = ("pyci", "pyscf")  # programs that can continue from a wave function of a larger eps1


class Shci(Story[Calculation]):
    """Energy of a molecule by Hartree-Fock and heat-bath CI with perturbation theory, on a spot machine.

    Survives the loss of its machine: the next machine continues from the last verified checkpoint. Ends with
    `results/<job key>/result.json`, or as Failed with one line that says what to change.
    """

    name: ClassVar[str] = "shci"
    Input = Calculation
    tags: ClassVar[Sequence[str]] = ("chemistry",)
    presets: ClassVar[Sequence[Preset]] = (
        Preset(
            "water-dimer",
            "Energy of the water dimer in 6-31G, all electrons: Hartree-Fock, integrals, heat-bath CI with "
            "Epstein-Nesbet PT2, on the cheapest spot machine that is big enough. Takes minutes.",
        ),
        Preset(
            "water-dimer-avdz",
            "The water dimer in aug-cc-pVDZ with a frozen core: 82 orbitals, for machines with at least 16 vCPUs "
            "and 64 GiB.",
            {
                "basis": "aug-cc-pVDZ",
                "frozen_core": True,
                "eps2": 2.0e-5,  # with less, the second-order correction needs more than 64 GiB (docs/answers.md)
                "requirements": {"min_vcpus": 16, "min_memory_gib": 64},
            },
        ),
    )

    def check(self, given: Calculation) -> Needs:
        size, program = check(given), program_for(given)
        because = (
            f"{size.n_correlated_orbitals} orbitals need about {size.memory_gib:.2f} GiB, of which "
            f"8 bytes x n^4/8 = {size.integrals_gib:.3g} GiB are the integrals"
        )
        return Needs(
            parameters={"calculation": given.model_dump(mode="json")},
            work={"calculation": given.model_copy(update={"keep_fcidump": False}).model_dump(mode="json")},
            memory_gib=size.memory_gib,
            memory_because=because,
            architectures=program.architectures,
            architectures_because=f"the program {program.name}",
            executables=program.executables,
            builds=given.command is not None and given.command.git_url is not None,
        )

    def same_work(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether molecule, orbitals and program are the same, and eps1 is equal or, if the program can, smaller."""
        try:
            before, now = (Calculation.model_validate(one["calculation"]) for one in (old, new))
        except (ValidationError, KeyError):
            return False
        if any(getattr(before, name) != getattr(now, name) for name in _IDENTITY):
            return False
        return now.eps1 == before.eps1 or (now.eps1 < before.eps1 and now.program in _LOWERS_EPS1)

    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        return parse_result(result).rows

    def conclude(self, job: Job, done: Done, result: Mapping[str, Any]) -> str | None:
        draw_convergence(job.results, parse_result(result).total_energy)
        return None


shci = story_flow(Shci)
