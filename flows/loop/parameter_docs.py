"""Parameter descriptions for the UI's form, written once, next to the parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

F = TypeVar("F", bound=Callable[..., Any])


def described(function: F) -> F:
    """Append an "Args:" section built from the `Field(description=...)` of each annotated parameter.

    Prefect takes descriptions from the docstring only and drops those of the annotations
    (prefect/utilities/callables.py, process_params).
    """
    lines = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        for extra in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(extra, FieldInfo) and extra.description:
                lines.append(f"    {name}: {extra.description}")
    function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Args:", *lines])
    return function
