"""Partial responses for a field mask, as in all of Google's JSON APIs."""

from __future__ import annotations

import json
import re
from typing import Any

Mask = dict[str, Any]  # {"items": {"*": {"warning": {}}}}; {}: everything below


def masked(document: Any, mask: str) -> bytes:
    return json.dumps(_kept(document, _parsed(mask)) if mask else document).encode()


def _kept(document: Any, mask: Mask) -> Any:
    """Return the parts of a document that the mask selects."""
    if not mask:
        return document
    if isinstance(document, list):
        return [_kept(one, mask) for one in document]
    chosen = {name: mask.get(name, mask.get("*")) for name in document}
    return {name: _kept(document[name], below) for name, below in chosen.items() if below is not None}


def _parsed(mask: str) -> Mask:
    """Parse 'a/b(c,d),e' to {a: {b: {c: {}, d: {}}}, e: {}}."""
    root: Mask = {}
    stack, at = [root], root
    for token in re.findall(r"[\w*]+|[(),/]", mask):
        if token == "(":
            stack.append(at)
        elif token == ")":
            stack.pop()
        elif token == ",":
            at = stack[-1]
        elif token != "/":
            at = at.setdefault(token, {})
    return root
