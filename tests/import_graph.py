"""Which of our modules imports which, read off the code; imports in functions and for type checkers count too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "spotwave"


def module_of(path: str) -> str:
    """`tasks/cost/quote.py` as tasks.cost.quote, and a folder's `__init__.py` as the folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(code: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(a module, the names that are taken out of it), ours by their place below `spotwave`."""
    for item in ast.walk(ast.parse(code)):
        if isinstance(item, ast.Import):
            yield from ((alias.name.removeprefix(f"{PACKAGE}."), ()) for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            yield item.module.removeprefix(f"{PACKAGE}."), tuple(alias.name for alias in item.names)


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """sources: module to code. A folder is imported only where something is taken out of its `__init__.py` itself."""
    graph: dict[str, set[str]] = {}
    for module, code in sources.items():
        found = graph.setdefault(module, set())
        for source, names in imports_of(code):
            taken = [f"{source}.{name}" if f"{source}.{name}" in sources else source for name in names] or [source]
            found.update(name for name in taken if name in sources)
    return graph


def circle_in(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The modules of one circle, each imported by the next; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def sources_of(root: Path, rooms: Iterable[str]) -> dict[str, str]:
    paths = (path for room in rooms for path in sorted((root / room).rglob("*.py")))
    return {module_of(path.relative_to(root).as_posix()): path.read_text() for path in paths}
