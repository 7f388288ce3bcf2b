"""A program of the user's own, as a parameter; `node.jobs.shci.programs.command` runs it."""

from __future__ import annotations

import re
import shlex
import string
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.architectures import EVERY_ARCHITECTURE, Architecture

_LONGEST = 10_000  # characters of a field; the system takes 128 KiB of an argument
_PLACEHOLDERS = {"fcidump", "output", "checkpoint", "threads"}
# What git itself knows to be safe, and folders of the machine. `ext::` and other helpers would run programs.
GIT_SCHEMES = ("https", "ssh", "file")
_COMMIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_SCP_LIKE = re.compile(r"([A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?![:/])[\w./~-]+")  # git@host:path


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
    """Raises InputError for a command line, a regular expression or a repository that cannot work."""
    for name, text in command.model_dump(exclude={"architectures"}, exclude_none=True).items():
        if len(text) > _LONGEST or not all(one.isprintable() or one in "\n\t" for one in text):
            raise InputError(
                f"command.{name}",
                "has control characters, or is too long",
                f"Give at most {_LONGEST} characters of text",
            )
    _check_line(command.line)
    _check_patterns(command)
    if command.git_url:
        _check_repository(command.git_url, command.commit)


def _check_line(line: str) -> None:
    """Word by word, as it will be filled in."""
    try:
        words = shlex.split(line)
        found = [one for word in words for one in string.Formatter().parse(word) if one[1] is not None]
    except ValueError as error:
        raise InputError("command.line", f"cannot be read ({error})", "Balance quotes and braces") from error
    names = {str(name) for _, name, _, _ in found}
    if not words or "fcidump" not in names:
        raise InputError("command.line", "does not say where the integrals go", "Put {fcidump} into it")
    # No attributes, no conversions, no widths: {threads:>999999999} would fill the memory.
    strange = sorted(names - _PLACEHOLDERS) + [str(name) for _, name, width, kind in found if width or kind]
    if strange:
        raise InputError(
            "command.line",
            f"unknown placeholder {{{strange[0][:60]}}}",
            "Use {fcidump}, {output}, {checkpoint}, {threads} as they are; write {{ }} for a brace",
        )


def _check_patterns(command: CommandProgram) -> None:
    for name in ("variational_energy", "total_energy", "determinants", "error_bar"):
        pattern = getattr(command, name)
        if pattern is None:
            continue
        try:
            groups = re.compile(pattern).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise InputError(
                f"command.{name}", f"{pattern[:100]!r} is no regular expression ({error})", "Correct it"
            ) from error
        if groups != 1:
            raise InputError(
                f"command.{name}", f"{pattern[:100]!r} has {groups} groups", "Mark the number with one group (...)"
            )


def _check_repository(url: str, commit: str | None) -> None:
    """Parameters stand in the UI, in job.json and in logs: a repository that needs a password in its address is no
    use, and what git would take for an option or a program to run is none at all."""
    if not commit:
        raise InputError("command.commit", "is empty", "Name the commit of the git repository to build")
    if not _COMMIT.fullmatch(commit) or ".." in commit:
        raise InputError(
            "command.commit", f"{commit[:60]!r} is no commit, tag or branch", "Give e.g. the commit's 40 digits"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError("command.git_url", "is no address", "Give e.g. https://github.com/owner/repository") from error
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise InputError(
            "command.git_url", "holds a password or a token, which everybody would see", "Give the address alone"
        )
    is_address = "://" in url and parts.scheme in GIT_SCHEMES and (parts.hostname or parts.scheme == "file")
    starts_well = not (parts.hostname or "").startswith("-") and not url.startswith("-")
    if not starts_well or not (is_address or url.startswith("/") or _SCP_LIKE.fullmatch(url)) or "::" in url:
        raise InputError(
            "command.git_url",
            f"{url[:60]!r} is no address that is fetched from",
            "Give e.g. https://github.com/owner/name",
        )
