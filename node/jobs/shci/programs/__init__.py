"""SHCI programs behind one small protocol (`base.Program`); `run.solve` runs any of them.

Few imports, since the programs' own processes import this package too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spotwave.node.jobs.shci.programs.base import Program

if TYPE_CHECKING:
    from spotwave.node.jobs.shci.calculation import Calculation

__all__ = ["Program", "program_for"]


def program_for(calculation: Calculation) -> Program:
    """Return the program of a calculation, without checking that it is installed (`check_present`)."""
    from spotwave.node.jobs.shci.programs.command import Command
    from spotwave.node.jobs.shci.programs.dice import Dice
    from spotwave.node.jobs.shci.programs.pyci import PyCI
    from spotwave.node.jobs.shci.programs.pyscf_ci import PySCF

    if calculation.program == "command":
        if calculation.command is None:
            raise ValueError("program 'command' needs a command")
        return Command(calculation.command)
    programs: dict[str, type[PyCI] | type[PySCF] | type[Dice]] = {"pyci": PyCI, "pyscf": PySCF, "dice": Dice}
    return programs[calculation.program]()
