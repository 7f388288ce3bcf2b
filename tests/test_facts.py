"""Code must not decide by message texts, only by fields; this checks the source code itself.

Information that a cloud or a program gives only as text is parsed in a few small modules, which name their source
(`ELSEWHERE`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "blocks", "node", "deployments")
#: Names of attributes and variables with texts for users.
TEXTS = {"message", "problem", "reason", "refused", "remedy", "said", "summary", "why", "why_not"}
READS = {"count", "endswith", "find", "index", "rfind", "startswith"}
CUTS = {"casefold", "lower", "partition", "removeprefix", "removesuffix", "rpartition", "rsplit", "split", "splitlines"}
PATTERNS = {"findall", "finditer", "fullmatch", "match", "search"}
#: Modules that parse texts of other software, for information without a field in the API of a cloud or Prefect.
ELSEWHERE = {
    "blocks/aws/error_text.py",
    "blocks/azure/error_text.py",
    "blocks/gcp/error_text.py",
    "deployments/watch.py",  # Prefect's own lines in the log of a run
    "node/jobs/shci/programs/memory_limit.py",  # C++ exceptions
}


def is_text(item: ast.expr) -> bool:
    """Return whether this is a text for users: `outcome.reason`, `reason`, `str(error)`, or a part of one of these."""
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
    """Return whether the call only looks for punctuation, for example to add a full stop."""
    words = [item for arg in call.args for item in ast.walk(arg) if isinstance(item, ast.Constant | ast.Name)]
    return all(isinstance(word, ast.Constant) and str(word.value) in ".!?" for word in words)


def is_words(item: ast.expr) -> bool:
    return isinstance(item, ast.JoinedStr) or (isinstance(item, ast.Constant) and isinstance(item.value, str))


def readings(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that search, cut or compare a text for users."""
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


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_does_not_parse_texts_for_users(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{item.lineno}: {ast.unparse(item)}"
        for path in sorted((ROOT / folder).rglob("*.py"))
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
def test_parsing_of_text_is_detected(code: str) -> None:
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
def test_other_uses_of_text_are_allowed(code: str) -> None:
    assert not list(readings(ast.parse(code)))
