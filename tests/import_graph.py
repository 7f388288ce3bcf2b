"""The import graph of Spotwave's modules, from the source; includes imports in functions and for type checkers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "spotwave"


def module_of(path: str) -> str:
    """Return the module's name: tasks.cost.quote for `tasks/cost/quote.py`, the folder for its `__init__.py`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(code: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (module, imported names); Spotwave's modules without the prefix `spotwave`."""
    for item in ast.walk(ast.parse(code)):
        if isinstance(item, ast.Import):
            yield from ((alias.name.removeprefix(f"{PACKAGE}."), ()) for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            yield item.module.removeprefix(f"{PACKAGE}."), tuple(alias.name for alias in item.names)


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the imported modules of each module. sources: module name to code.

    A folder counts as imported only if a name is imported from its `__init__.py` itself.
    """
    graph: dict[str, set[str]] = {}
    for module, code in sources.items():
        found = graph.setdefault(module, set())
        for source, names in imports_of(code):
            taken = [f"{source}.{name}" if f"{source}.{name}" in sources else source for name in names] or [source]
            found.update(name for name in taken if name in sources)
    return graph


def cycle_in(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the modules of one import cycle, each imported by the next; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def sources_of(root: Path, folders: Iterable[str]) -> dict[str, str]:
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return {module_of(path.relative_to(root).as_posix()): path.read_text() for path in paths}
