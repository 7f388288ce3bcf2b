"""Sphinx settings of `make docs`. The source folder is the repository, so that README.md and docs/ keep their links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_origin

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

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
html_theme = "furo"
html_title = f"Spotwave {release}"

myst_heading_anchors = 3  # the anchors that GitHub gives headings, so that one link serves both
suppress_warnings = [
    "misc.highlighting_failure",  # shortened listings are not whole programs
    "ref.python",  # several records have a field of the same name
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
default_role = "literal"  # docstrings write `name` for code


def _function_behind(module: ModuleType, name: str, *default: Any) -> Any:
    """A Prefect flow or task is an object around the function that it runs; readers look for the function."""
    value = getattr(module, name, *default)
    return _with_plain_types(value.fn) if isinstance(value, Flow | Task) else value


def _with_plain_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without what `Annotated` adds to the types of parameters: descriptions, which the docstring has already."""

    @wraps(function)
    def shown(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    signature = inspect.signature(function, eval_str=True)
    plain = [one.replace(annotation=_plain_type(one.annotation)) for one in signature.parameters.values()]
    shown.__signature__ = signature.replace(parameters=plain)  # type: ignore[attr-defined]
    return shown


def _plain_type(annotation: Any) -> Any:
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def _plain_text(text: str) -> str:
    """Docstrings are plain text with `code` in them: escape what else reStructuredText would take for markup."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _rewrite_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """In place, as Sphinx asks for. Fields of models and parameters of flows become lists with their descriptions."""
    text = "\n".join(lines)
    if inspect.isclass(value) and issubclass(value, BaseModel):
        fields = {key: field.description for key, field in value.model_fields.items() if field.description}
        text += "\n\n" + "\n".join(f":param {key}: {description}" for key, description in fields.items())
    head, args, rest = text.partition("\nArgs:\n")  # as flows/loop/parameter_docs.py writes it
    if args:
        text = f"{head}\n" + re.sub(r"^ +(\w+): ", r":param \1: ", rest, flags=re.MULTILINE)
    lines[:] = _plain_text(text).splitlines()


def setup(app: Sphinx) -> None:
    app.add_autodoc_attrgetter(ModuleType, _function_behind)
    app.connect("autodoc-process-docstring", _rewrite_docstring)
