"""Parameters that contain code, options, other paths or excessive sizes: rejected in one line, nothing is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import Calculation, CommandProgram, check
from spotwave.node.jobs.shci.command_program import check_command
from spotwave.node.jobs.shci.programs.command import Command
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.process import lines, supervised
from tests.node.test_programs_run import task_in
from tests.security.hostile import LONG, SHELL, clear

EVIL = "__import__('pathlib').Path('pwned').touch()"
WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("pwned*"))


@pytest.mark.parametrize(
    "molecule",
    [
        *(f"O 0 0 {word}" for word in SHELL if not word.startswith("*")),
        f"O 0 0 {EVIL}",
        f"H\nH 1 {EVIL}",
        f"O\nH 1 0.96\nH 1 0.96 2 {EVIL}",
        f"O\nH {EVIL} 0.96",
        "O\nH ² 0.96",
        "O\nH 1 ０.９６",
        "O\nH 1 0.96\nH 1 0.96 2 -104",
        "O\nH 1 0.96\nH 1 0.96 2 1e3",
        "² 0 0 0",
        f"{'1' * 5000} 0 0 0",
        f"{'1' * 5000}\n\nO 0 0 0",
        f"O 0 0 {'1' * 5000}",
        f"H{'1' * 30_000}! 0 0 0",
        "O\x00 0 0 0",
        "O\x1b[2J 0 0 0",
        "/etc/passwd",
        "O 0 0 0\x00",
        LONG,
        "H 0 0 0;" * 125_000,
        "\n" * 1_000_000,
    ],
)
def test_molecule_is_parsed_and_not_executed(molecule: str) -> None:
    with pytest.raises(InputError) as caught:
        check(Calculation(molecule=molecule))
    assert clear(caught.value, "molecule"), str(caught.value)


def test_number_formats_that_python_reads_differently_are_accepted() -> None:
    """PySCF's own reader evaluates numbers as Python, where 007 and +1 would be errors."""
    size = check(Calculation(molecule="O\nH 01 +0.96\nH 1 .96e0 2 104.5", basis="sto-3g"))
    assert size.n_atoms == 3


@pytest.mark.parametrize(
    "basis",
    [
        {"default": EVIL},
        {"O": "6-31g", "H": f"H S\n {EVIL} 1"},
        {EVIL: "6-31g", "default": "6-31g"},
        {"O" * 100_000: "6-31g"},
        {"default": LONG},
        {"default": "/etc/passwd"},
    ],
)
def test_invalid_basis_by_element_is_rejected(basis: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        check(Calculation(molecule=WATER, basis=basis))
    assert clear(caught.value, "basis")


@pytest.mark.parametrize("basis", ["/etc/passwd", "../../etc/passwd", "a\x00b", "x" * 300, LONG, EVIL, "", "\n", "{}"])
def test_invalid_basis_is_rejected(basis: str) -> None:
    with pytest.raises(InputError) as caught:
        check(Calculation(molecule=WATER, basis=basis))
    assert clear(caught.value, "basis")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("line", "shci {fcidump.__class__.__init__.__globals__}"),
        ("line", "shci {fcidump} {threads:>999999999}"),
        ("line", "shci {fcidump!r}"),
        ("line", "shci {fcidump} {0}"),
        ("line", "shci {fcidump} {}"),
        ("line", "shci '{fcidump' '}'"),
        ("line", "shci {fcidump} \x00"),
        ("line", f"shci {{fcidump}} {LONG}"),
        ("total_energy", "(" * 5000),
        ("total_energy", "(a{99999999999})"),
        ("total_energy", LONG),
        ("build", "make\x00"),
        ("git_url", "ext::sh -c touch% pwned"),
        ("git_url", "ext::sh"),
        ("git_url", "--upload-pack=touch pwned;"),
        ("git_url", "-u"),
        ("git_url", "ssh://-oProxyCommand=touch pwned/x"),
        ("git_url", "-oProxyCommand=x@host:path"),
        ("git_url", "host:-path -o x"),
        ("git_url", "https://user:ghp_token@github.com/x/y"),
        ("git_url", "https://ghp_token@github.com/x/y"),
        ("git_url", "http://example.org/x"),
        ("git_url", "git://example.org/x"),
        ("git_url", "https://[x"),
        ("git_url", "../../x"),
        ("git_url", LONG),
        ("commit", "--upload-pack=touch pwned"),
        ("commit", "-f"),
        ("commit", "a:b"),
        ("commit", "+refs/heads/*:refs/heads/*"),
        ("commit", "a..b"),
        ("commit", "x" * 300),
    ],
)
def test_unsafe_solver_command_is_rejected(field: str, value: str) -> None:
    usual = {"line": "shci {fcidump}", "git_url": "https://github.com/sanshar/Dice", "commit": "v1.0"}
    check_command(CommandProgram.model_validate(usual))
    with pytest.raises(InputError) as caught:
        check_command(CommandProgram.model_validate(usual | {field: value}))
    assert clear(caught.value, f"command.{field}")
    assert "ghp_token" not in str(caught.value)


@pytest.mark.parametrize("url", ["ssh://git@github.com/x/y", "git@github.com:x/y.git", "/opt/source", "file:///opt/x"])
def test_usual_repositories_are_accepted(url: str) -> None:
    check_command(CommandProgram(line="shci {fcidump}", git_url=url, commit="0123456789abcdef"))


@pytest.mark.parametrize(
    ("url", "commit"),
    [
        ("ext::sh -c touch% pwned", "HEAD"),
        ("--upload-pack=touch pwned;", "HEAD"),
        ("/nowhere", "--upload-pack=touch pwned;"),
        ("fd::0", "HEAD"),
    ],
)
def test_git_executes_nothing_even_without_validation(url: str, commit: str, tmp_path: Path) -> None:
    program = Command(CommandProgram(line="./shci {fcidump}", git_url=url, commit=commit, build="true"))
    task = task_in(tmp_path)
    task.output.mkdir()
    with pytest.raises(ProgramFailed, match="git"):
        program.prepare(task)


def test_command_receives_unchanged_arguments(tmp_path: Path) -> None:
    """No shell is used between the parameter and the program, and substituted values are not expanded again."""
    folder = tmp_path / "it's; touch pwned $(touch pwned) {threads}"
    task = task_in(folder)
    quoted = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in SHELL if "{" not in word)
    command = CommandProgram(line=f"printf %s\\\\n {{fcidump}} {quoted}")
    check_command(command)
    words = Command(command).prepare(task)
    assert words[0] == "printf"
    with supervised(words, tmp_path, {}) as process:
        said = list(lines(process, lambda: None))
        assert process.wait() == 0
    assert said == [str(folder / "FCIDUMP"), *(word for word in SHELL if "{" not in word)]
