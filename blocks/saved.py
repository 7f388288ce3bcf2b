"""Loading a saved block, and what is wrong with one that cannot be built any more."""

from __future__ import annotations

from typing import TypeVar

from prefect.blocks.core import Block
from pydantic import ValidationError

B = TypeVar("B", bound=Block)


class Unusable(ValueError):
    """A saved block whose fields are not valid, here and now; the message names the field and what is wrong with it."""


def load(block_type: type[B], name: str) -> B:
    """The document of that name. Raises ValueError if there is none, Unusable if it cannot be built."""
    try:
        found = block_type.load(name)
    except RuntimeError as error:  # what Prefect makes of a ValidationError
        if not isinstance(error.__cause__, ValidationError):
            raise
        first = error.__cause__.errors()[0]
        raise Unusable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    assert isinstance(found, block_type)  # not a coroutine: this is no async context
    return found
