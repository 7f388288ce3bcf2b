"""Sphinx settings of `make docs`. The source folder is the repository, so that README.md and docs/ keep their links."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from prefect import Flow, Task
from pydantic import BaseModel
from sphinx.application import Sphinx

from spotwave import __version__

project = "Spotwave"
project_copyright = "the Spotwave authors, Apache-2.0"
release = __version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [".venv", ".git", "results", "docs/_build", "docs/_templates"]
templates_path = [str(Path(__file__).parent / "_templates")]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"Spotwave {release}"

myst_heading_anchors = 3  # the anchors that GitHub gives headings, so that one link serves both
suppress_warnings = [
    "misc.highlighting_failure",  # shortened listings are not whole programs
    "ref.python",  # several records have a field of the same name
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "literal"  # docstrings write `name` for code


def _function_behind(module: ModuleType, name: str, *default: Any) -> Any:
    """A Prefect flow or task is an object around the function that it runs; readers look for the function."""
    value = getattr(module, name, *default)
    return value.fn if isinstance(value, Flow | Task) else value


def _plain(text: str) -> str:
    """Docstrings are plain text with `code` in them: escape what else reStructuredText would take for markup."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _rewrite_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """In place, as Sphinx asks for. A model's fields come with their descriptions, which the UI's forms show too."""
    fields = value.model_fields if inspect.isclass(value) and issubclass(value, BaseModel) else {}
    described = [f":param {key}: {field.description}" for key, field in fields.items() if field.description]
    lines[:] = _plain("\n".join([*lines, "", *described])).splitlines()


def setup(app: Sphinx) -> None:
    app.add_autodoc_attrgetter(ModuleType, _function_behind)
    app.connect("autodoc-process-docstring", _rewrite_docstring, priority=400)  # before napoleon
