"""Texts of a machine with terminal escapes or markup: terminal and UI show them as plain text."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import MachineState
from spotwave.deployments.closing_table import closing_table
from spotwave.deployments.machines import Found, as_table
from spotwave.deployments.proxy.artifacts import BadArtifact, lease_artifact, node_artifact
from spotwave.node.contract import Ending, Lease, Outcome, Phase, Progress
from spotwave.node.jobs.shci.programs.base import last_lines
from spotwave.node.untrusted.plain_text import markdown, plain
from spotwave.tasks.cost.timeline import _table
from tests.security.rows import Row
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_receipt import a_machine, an_attempt

TEXT = "shown as text"
LINKS = MarkdownIt("gfm-like", {"html": True, "linkify": False})


@dataclass(frozen=True)
class Words(Row):
    text: str


def terminal(attack: str, text: str) -> Words:
    return Words("terminal", attack, "only printable characters are shown", text)


def page(attack: str, text: str) -> Words:
    return Words("page", attack, TEXT, text)


TERMINAL = [
    terminal("another title (OSC 0)", "a\x1b]0;owned\x07b"),
    terminal("the clipboard (OSC 52)", "a\x1b]52;c;cm0gLXJmIC8=\x07b"),
    terminal("a link (OSC 8)", "a\x1b]8;;https://evil\x1b\\click\x1b]8;;\x1b\\b"),
    terminal("a cleared screen", "a\x1b[2J\x1b[Hb"),
    terminal("colours", "a\x1b[31;1mred\x1b[0mb"),
    terminal("a status report that is typed (DSR)", "a\x1b[6nb"),
    terminal("a reset", "a\x1bcb"),
    terminal("C1 controls", "a\x9b2J\x9d0;owned\x9cb"),
    terminal("a sequence without its end", "a\x1b]0;" + "x" * 1000),
    terminal("an overwritten line", "harmless\rowned"),
    terminal("bells and backspaces", "a\x07\x08\x08b"),
    terminal("reversed writing (U+202E)", "a\u202egnp.exe"),
    terminal("hidden characters", "a\u200bb\u2066c\u2069\ufeff"),
    terminal("a null", "a\x00b"),
    terminal("half a surrogate pair", "a\ud800b"),
    terminal("other line ends", "a\u2028b\x85c\x0bd\x0ce"),
    terminal("a megabyte", "x" * 1_000_000),
    terminal("a megabyte of escapes", "\x1b[" * 500_000),
]
PAGE = [
    page("a link that is a script", "[energy](javascript:alert(1))"),
    page("a link by reference", "[a]\n\n[a]: javascript:alert(1)"),
    page("a picture from elsewhere", "![x](https://evil/track.png)"),
    page("a script", "<script>alert(1)</script>"),
    page("a picture in HTML", "<img src=https://evil/track.png onerror=alert(1)>"),
    page("an address in brackets", "<https://evil>"),
    page("an address alone", "see https://evil/x and www.evil.example, a@evil.example"),
    page("entities", "&#60;script&#62; &lt;b&gt;"),
    page("a heading", "# owned"),
    page("a quote", "> owned"),
    page("a list", "- owned"),
    page("a numbered list", "1. owned"),
    page("a rule", "---"),
    page("code", "`owned` ``` owned"),
    page("emphasis", "**owned** __owned__ ~~owned~~ *owned*"),
    page("the end of a table's cell", "a | b |\n|--|--|\n| c | d"),
    page("a backslash before a mark", "\\[energy](javascript:alert(1)) \\\\[a](b:c)"),
]


@pytest.mark.parametrize("words", TERMINAL, ids=str)
def test_terminal_shows_only_printable_text(words: Words) -> None:
    assert plain(words.text).isprintable()
    assert len(plain(words.text)) <= 500
    lines = plain(words.text, 2000, lines=True)
    assert all(line.isprintable() for line in lines.split("\n"))
    if words.text.startswith("a"):
        assert lines.startswith("a")
    told = (
        Lease.from_json(json.dumps({"beat": 1, "phase": "working", "progress": {"note": words.text[:9000]}}))
        if "\ud800" not in words.text
        else None
    )
    assert told is None or told.progress.note.isprintable()


@pytest.mark.parametrize("words", PAGE, ids=str)
def test_page_shows_literal_text(words: Words) -> None:
    """A parser of GitHub's Markdown, with HTML allowed, finds one paragraph of text."""
    escaped = markdown(words.text)
    tokens = LINKS.parse(escaped)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    parts = tokens[1].children or []
    assert {part.type for part in parts} <= {"text", "text_special"}
    assert "".join(part.content for part in parts) == plain(words.text)
    # Patterns that a parser turns into links.
    assert not re.search(r"(?<!\\)://|www\.|\w@", escaped)
    assert "|" not in escaped.replace("\\|", "")
    cells = LINKS.parse(f"| a | b |\n|--|--|\n| {escaped} | x |\n")
    assert sum(token.type == "td_open" for token in cells) == 2


def test_ordinary_text_is_unchanged() -> None:
    line = "run_shci: iteration 4, 12,334 determinants, -149.93537592 Ha (+/- 1e-5) in 3.5 s; größe 名前"
    assert plain(line) == markdown(line) == line
    assert plain("the end of its log:\n  a\n  b", lines=True) == "the end of its log:\n  a\n  b"
    assert plain("a\tb\r\nc") == "a   b c"
    assert plain("x" * 600) == "x" * 496 + " ..."


EVIL = "a\x1b]0;owned\x07[x](javascript:alert(1)) | <img src=x> \u202e"


def told(text: str) -> Outcome:
    return Outcome.from_json(json.dumps({"ending": "lost", "reason": text}))


def in_the_lease(_: Path) -> str:
    progress = {"step": EVIL, "percent": 1, "note": EVIL}
    fields = {"beat": 1, "phase": "ended", "progress": progress, "outcome": {"ending": "lost", "reason": EVIL}}
    return Lease.from_json(json.dumps(fields)).for_people


def in_the_attempts(_: Path) -> str:
    attempt = an_attempt(1, 1.0, an_offer()).model_copy(update={"outcome": told(EVIL)})
    shown = _table([attempt], 0.0)
    assert len({line.replace("\\|", "").count("|") for line in shown.splitlines()[:3]}) == 1
    return shown


def in_the_closing_table(folder: Path) -> str:
    result = {"wall_seconds": {EVIL: 1.0}, "attempts": [{"machine": EVIL}], "rhf_energy": float("1e300"),
              "determinants": True}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return closing_table(folder, "url", "shci")


def in_the_closing_table_of_no_result(folder: Path) -> str:
    (folder / "result.json").write_text("[" * 3000 + '{"total_energy": NaN}')
    return closing_table(folder, "url", "shci")


def in_the_list_of_machines(_: Path) -> str:
    machine = a_machine(an_offer(instance_type="[red]\x1b[2J")).model_copy(update={"job_key": "[link=x]" + EVIL[:12]})
    out = io.StringIO()
    now = datetime.now(UTC)
    console = Console(file=out, width=300, force_terminal=False)
    console.print(as_table([Found(LocalCloud(), machine, MachineState.RUNNING)], now))
    assert "[red]" in out.getvalue()
    assert "[link=x]" in out.getvalue()
    return out.getvalue()


def in_the_end_of_a_log(folder: Path) -> str:
    (folder / "log").write_bytes(b"ok\n\x1b[2J\x1b]52;c;eA==\x07failed\r\n")
    said = last_lines(folder / "log")
    assert said == "ok\nfailed"
    return said


def in_a_lease_through_the_proxy(_: Path) -> str:
    metadata = {"lease": json.dumps({"beat": 1, "phase": "working", "progress": {"step": "s", "note": EVIL}})}
    return str(lease_artifact({"data": EVIL, "metadata_": metadata})["data"])


def in_an_artifact_through_the_proxy(_: Path) -> str:
    asked = {"key": "node-x", "type": "markdown", "data": f"{EVIL}\n\n{EVIL}", "description": EVIL}
    shown = node_artifact(asked)
    return f"{shown['data']}\n{shown['description']}"


def in_a_table_through_the_proxy(_: Path) -> str:
    shown = node_artifact({"type": "table", "data": json.dumps([{"a": EVIL}])})["data"]
    return str(json.loads(shown)[0]["a"])


@dataclass(frozen=True)
class Place(Row):
    shown: Callable[[Path], str]
    page: bool = True  #: False: a terminal, which has no links


PLACES = [
    Place("lease in the UI", "escapes, a link, HTML", TEXT, in_the_lease),
    Place("attempts in the UI", "escapes, a link, HTML, a cell's end", TEXT, in_the_attempts),
    Place("closing table", "names of steps and machines with escapes", TEXT, in_the_closing_table, page=False),
    Place("closing table", "an invalid result", "shown as missing", in_the_closing_table_of_no_result),
    Place("list of machines", "tags with escapes and markup", TEXT, in_the_list_of_machines),
    Place("failure of a program", "a log with escapes", TEXT, in_the_end_of_a_log),
    Place("proxy, lease", "a page instead of its data", "rebuilt by the proxy", in_a_lease_through_the_proxy),
    Place("proxy, artifact", "a page with links and pictures", TEXT, in_an_artifact_through_the_proxy),
    Place("proxy, table", "cells with links", TEXT, in_a_table_through_the_proxy),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_machine_text_is_sanitized_everywhere(place: Place, tmp_path: Path) -> None:
    shown = place.shown(tmp_path)
    assert all(line.isprintable() for line in shown.split("\n")), repr(shown)
    for mark in ("\x1b", "owned\x07", "\u202e", "]52;"):
        assert mark not in shown
    for mark in ("[x](", "<img") if place.page else ():
        assert mark not in shown.replace(f"\\{mark}", "")


REFUSED: list[tuple[Row, dict[str, Any]]] = [
    (Row("proxy, artifact", "a picture's address", "403"), {"type": "image", "data": "https://evil/x.png"}),
    (Row("proxy, artifact", "a progress of NaN", "403"), {"type": "progress", "data": float("nan")}),
    (Row("proxy, artifact", "a progress of 10**9", "403"), {"data": 10**9}),
    (Row("proxy, artifact", "an object for its data", "403"), {"data": {"a": 1}}),
    (Row("proxy, artifact", "a list for its description", "403"), {"description": ["x"]}),
]


@pytest.mark.parametrize(("row", "body"), REFUSED, ids=str)
def test_invalid_artifact_is_rejected(row: Row, body: dict[str, Any]) -> None:
    with pytest.raises(BadArtifact) as refused:
        node_artifact(body)
    assert str(refused.value).isprintable()


def test_valid_lease_passes_proxy_unchanged() -> None:
    lease = Lease(3, Phase.WORKING, Progress("run_shci", 40.0, "iteration 4"), "001-00002", Outcome(Ending.LOST, "x"))
    assert lease_artifact({"data": lease.for_people, "metadata_": lease.to_metadata()}) == {
        "data": lease.for_people,
        "metadata_": lease.to_metadata(),
    }


ROWS: list[Row] = [*TERMINAL, *PAGE, *PLACES, *(row for row, _ in REFUSED)]
