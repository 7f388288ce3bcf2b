"""A program of the user's own, as a parameter; `node.programs.command` runs it."""

from __future__ import annotations

import re
import shlex
import string

from pydantic import BaseModel, ConfigDict, Field

from node.geometry import BadInput
from node.programs.base import EVERY_ARCHITECTURE, Architecture


class CommandProgram(BaseModel):
    """A program of the user's own: how to get it, how to start it, how to read its energies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: str = Field(
        title="Command line",
        description="What to run in the output folder, without a shell. {fcidump}, {output} (folder), {checkpoint} "
        "(folder) and {threads} are filled in; {fcidump} is required. A relative program path such as ./shci is "
        "looked up in the built repository.",
    )
    variational_energy: str = Field(
        default=r"variational energy\s*[:=]\s*(-?\d+\.\d+)",
        title="Regular expression: variational energy",
        description="Python regular expression with one group, the energy in Hartree; the last match in the "
        "program's output counts.",
    )
    total_energy: str = Field(
        default=r"total energy\s*[:=]\s*(-?\d+\.\d+)",
        title="Regular expression: total energy",
        description="As above, for the energy with the perturbative correction, in Hartree.",
    )
    determinants: str | None = Field(
        default=None,
        title="Regular expression: determinants",
        description="Optional: one group, the number of variational determinants.",
    )
    error_bar: str | None = Field(
        default=None,
        title="Regular expression: error bar",
        description="Optional: one group, the standard error of the total energy in Hartree.",
    )
    git_url: str | None = Field(
        default=None, title="Git URL", description="Optional: where to fetch the program's source from."
    )
    commit: str | None = Field(
        default=None, title="Commit", description="Commit, tag or branch to build; needed with a git URL."
    )
    build: str | None = Field(
        default=None,
        title="Build command",
        description="Run by `sh -c` in the fetched repository, once per machine; at most 30 minutes.",
    )
    architectures: list[Architecture] = Field(
        default=list(EVERY_ARCHITECTURE),
        title="Architectures",
        description="CPU architectures that the program runs on; machines of others are not considered.",
        min_length=1,
    )


def check_command(command: CommandProgram) -> None:
    """Raises BadInput for a command line or a regular expression that cannot work."""
    try:
        words = shlex.split(command.line)
        names = {name for _, name, _, _ in string.Formatter().parse(command.line) if name is not None}
    except ValueError as error:
        raise BadInput("command.line", f"cannot be read ({error})", "Balance quotes and braces") from error
    known = {"fcidump", "output", "checkpoint", "threads"}
    if not words or "fcidump" not in names:
        raise BadInput("command.line", "does not say where the integrals go", "Put {fcidump} into it")
    if names - known:
        raise BadInput(
            "command.line",
            f"unknown placeholder {{{min(names - known)}}}",
            "Use {fcidump}, {output}, {checkpoint}, {threads}; write {{ }} for a brace",
        )
    for name in ("variational_energy", "total_energy", "determinants", "error_bar"):
        pattern = getattr(command, name)
        if pattern is None:
            continue
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise BadInput(
                f"command.{name}", f"{pattern!r} is no regular expression ({error})", "Correct it"
            ) from error
        if groups != 1:
            raise BadInput(
                f"command.{name}", f"{pattern!r} has {groups} groups", "Mark the number with one group (...)"
            )
    if command.git_url and not command.commit:
        raise BadInput("command.commit", "is empty", "Name the commit of the git repository to build")
