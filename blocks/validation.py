"""What pydantic has against a value, in one line for a person."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The first of it: the field, and what is wrong. The value itself, which may be a secret, is not quoted."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
