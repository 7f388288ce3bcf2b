"""No decision reads a sentence: what follows from an event is read off its fields (found in the code itself).

What a cloud or a program says in a text alone is read in one small place, which names its source (`ELSEWHERE`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "tasks", "blocks", "node", "deployments")
#: What texts for people are called, as an attribute or as a variable.
TEXTS = {"message", "problem", "reason", "refused", "remedy", "said", "summary", "why", "why_not"}
READS = {"count", "endswith", "find", "index", "rfind", "startswith"}
CUTS = {"casefold", "lower", "partition", "removeprefix", "removesuffix", "rpartition", "rsplit", "split", "splitlines"}
PATTERNS = {"findall", "finditer", "fullmatch", "match", "search"}
#: Texts of others: what the API of a cloud, of Prefect or of a program has in no field.
ELSEWHERE = {
    "blocks/aws/error_text.py",
    "blocks/azure/error_text.py",
    "blocks/gcp/error_text.py",
    "deployments/watch.py",  # Prefect's own lines in the log of a run
    "node/jobs/shci/programs/memory_limit.py",  # C++ exceptions
}


def is_text(item: ast.expr) -> bool:
    """`outcome.reason`, `reason`, `str(error)`, and a part of one of these."""
    match item:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in TEXTS
        case (
            ast.Subscript(value=whole, slice=ast.Constant(value=int()) | ast.Slice())
            | ast.Call(func=ast.Attribute(value=whole, attr="strip"))
        ):
            return is_text(whole)
        case ast.Call(func=ast.Attribute(value=whole, attr=method)) if method in CUTS:
            return is_text(whole)
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id="error" | "refused")]):
            return True
        case _:
            return False


def is_punctuation(call: ast.Call) -> bool:
    """As where a sentence gets its full stop."""
    words = [item for arg in call.args for item in ast.walk(arg) if isinstance(item, ast.Constant | ast.Name)]
    return all(isinstance(word, ast.Constant) and str(word.value) in ".!?" for word in words)


def is_words(item: ast.expr) -> bool:
    return isinstance(item, ast.JoinedStr) or (isinstance(item, ast.Constant) and isinstance(item.value, str))


def readings(tree: ast.AST) -> Iterator[ast.expr]:
    """Where a text is searched, cut or compared."""
    for item in ast.walk(tree):
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute):
            method = item.func.attr
            if method in READS and is_text(item.func.value) and not is_punctuation(item):
                yield item
            if method in PATTERNS and any(map(is_text, item.args)):
                yield item
        elif isinstance(item, ast.Compare):
            sides = [item.left, *item.comparators]
            within = [
                right
                for how, right in zip(item.ops, item.comparators, strict=True)
                if isinstance(how, ast.In | ast.NotIn)
            ]
            equal = any(isinstance(how, ast.Eq | ast.NotEq) for how in item.ops)
            if any(map(is_text, within)) or (equal and any(map(is_text, sides)) and any(map(is_words, sides))):
                yield item
        elif isinstance(item, ast.Match) and is_text(item.subject):
            yield item.subject


@pytest.mark.parametrize("room", ROOMS)
def test_no_text_for_people_is_read_by_code(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{item.lineno}: {ast.unparse(item)}"
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in ELSEWHERE
        for item in readings(ast.parse(path.read_text()))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "outcome.reason.startswith(RISEN)",
        "'quota' in refused.reason",
        "'quota' in str(error)",
        "re.search('disk', outcome.reason)",
        "reason == 'the job was suspended'",
        "reason.partition(':')[0] == 'quota'",
        "'quota' in message.lower()",
    ],
)
def test_a_reading_is_found(code: str) -> None:
    assert list(readings(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "outcome.reason",
        "missed.reason is None",
        "refused.reach == 'zone'",
        "f'{error}: {reason}'",
        "'a' in names",
        "reason.endswith('.')",
    ],
)
def test_what_is_no_reading(code: str) -> None:
    assert not list(readings(ast.parse(code)))
