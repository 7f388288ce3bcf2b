"""Parameters of a program provided by the user; `node.jobs.shci.programs.command` runs it."""

from __future__ import annotations

import re
import shlex
import string
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.architectures import EVERY_ARCHITECTURE, Architecture

_LONGEST = 10_000  # characters of a field; the system allows 128 KiB per argument
_PLACEHOLDERS = {"fcidump", "output", "checkpoint", "threads"}
# Schemes that git handles itself, and local folders. `ext::` and other remote helpers would run programs.
GIT_SCHEMES = ("https", "ssh", "file")
_COMMIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_SCP_LIKE = re.compile(r"([A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?![:/])[\w./~-]+")  # git@host:path


class CommandProgram(BaseModel):
    """A program provided by the user: how to get it, start it and read its energies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: str = Field(
        title="Command line",
        description="Command to run in the output folder, without a shell. {fcidump}, {output} (folder), {checkpoint} "
        "(folder) and {threads} are filled in; {fcidump} is required. A relative program path such as ./shci refers "
        "to the built repository.",
    )
    variational_energy: str = Field(
        default=r"variational energy\s*[:=]\s*(-?\d+\.\d+)",
        title="Regular expression: variational energy",
        description="Python regular expression with one group, the energy in Hartree; the last match in the "
        "program's output is used.",
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
        default=None, title="Git URL", description="Optional: repository with the program's source."
    )
    commit: str | None = Field(
        default=None, title="Commit", description="Commit, tag or branch to build; needed with a git URL."
    )
    build: str | None = Field(
        default=None,
        title="Build command",
        description="Run with `sh -c` in the fetched repository, once per machine; at most 30 minutes.",
    )
    architectures: list[Architecture] = Field(
        default=list(EVERY_ARCHITECTURE),
        title="Architectures",
        description="CPU architectures that the program runs on; machines of others are not considered.",
        min_length=1,
    )


def check_command(command: CommandProgram) -> None:
    """Validate command line, regular expressions and repository. Raises InputError."""
    for name, text in command.model_dump(exclude={"architectures"}, exclude_none=True).items():
        if len(text) > _LONGEST or not all(one.isprintable() or one in "\n\t" for one in text):
            raise InputError(
                f"command.{name}",
                "has control characters or is too long",
                f"Give at most {_LONGEST} characters of text",
            )
    _check_line(command.line)
    _check_patterns(command)
    if command.git_url:
        _check_repository(command.git_url, command.commit)


def _check_line(line: str) -> None:
    """Check each word of the command line and its placeholders."""
    try:
        words = shlex.split(line)
        found = [one for word in words for one in string.Formatter().parse(word) if one[1] is not None]
    except ValueError as error:
        raise InputError("command.line", f"cannot be read ({error})", "Balance quotes and braces") from error
    names = {str(name) for _, name, _, _ in found}
    if not words or "fcidump" not in names:
        raise InputError("command.line", "lacks the placeholder for the integrals", "Insert {fcidump}")
    # No attributes, conversions or widths: {threads:>999999999} would fill the memory.
    strange = sorted(names - _PLACEHOLDERS) + [str(name) for _, name, width, kind in found if width or kind]
    if strange:
        raise InputError(
            "command.line",
            f"unknown placeholder {{{strange[0][:60]}}}",
            "Use {fcidump}, {output}, {checkpoint}, {threads} without changes; write {{ }} for a brace",
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
                f"command.{name}", f"{pattern[:100]!r} is not a regular expression ({error})", "Correct it"
            ) from error
        if groups != 1:
            raise InputError(
                f"command.{name}", f"{pattern[:100]!r} has {groups} groups", "Mark the number with one group (...)"
            )


def _check_repository(url: str, commit: str | None) -> None:
    """Check address and commit of the repository.

    Parameters are shown in the UI, in job.json and in logs, so an address must not contain a password. Addresses that
    git would take for an option or for a program to run are refused.
    """
    if not commit:
        raise InputError("command.commit", "is empty", "Give the commit of the git repository to build")
    if not _COMMIT.fullmatch(commit) or ".." in commit:
        raise InputError(
            "command.commit", f"{commit[:60]!r} is not a commit, tag or branch", "Give e.g. the commit's 40 digits"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError("command.git_url", "is not a URL", "Give e.g. https://github.com/owner/repository") from error
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise InputError(
            "command.git_url", "contains a password or token, which all users could see", "Give the URL without it"
        )
    is_address = "://" in url and parts.scheme in GIT_SCHEMES and (parts.hostname or parts.scheme == "file")
    starts_well = not (parts.hostname or "").startswith("-") and not url.startswith("-")
    if not starts_well or not (is_address or url.startswith("/") or _SCP_LIKE.fullmatch(url)) or "::" in url:
        raise InputError(
            "command.git_url",
            f"{url[:60]!r} is not a supported address",
            "Give e.g. https://github.com/owner/name",
        )
