"""Emulators that enforce the policies of deployments/policies, and record the rights that each call needs.

A guard is mixed into a cloud's emulator. Before a call is answered, it determines the caller and the rights that the
call needs according to the service's documentation. If the caller's policy does not grant them, the call is rejected as
the cloud rejects it. A call with unknown rights is rejected too, and fails the test by `unknown`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from tests.emulators.server import Request, Response

POLICIES = Path(__file__).parents[2] / "deployments/policies"


@dataclass(frozen=True)
class Right:
    """One right that a call needs: the cloud's name of the action, the resource, and values for conditions."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


def contains_secret(request: Request, secret: str) -> bool:
    """Return whether the secret is anywhere in a request, also in base64 or percent-encoded."""
    text = unquote_plus(
        request.body.decode(errors="replace") + request.path + str(request.query) + str(request.headers)
    )
    blobs = [text, *(_decoded(one) for one in re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", text))]
    return any(secret in blob for blob in blobs)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return ""


class Unknown(Exception):
    """A call whose rights are not defined here."""


class Guarded:
    """Mixin for an emulator, before it in the method resolution order."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.used: defaultdict[str, set[str]] = defaultdict(set)  #: actions that were allowed, by role
        self.lacked: defaultdict[str, set[str]] = defaultdict(set)  #: actions that were refused, by role
        self.unknown: list[str] = []
        self.requests: list[Request] = []  #: all requests, in order

    def role_of(self, request: Request) -> str | None:
        """Return 'launcher' or 'machine'; None if the call needs no permission or the caller is unknown."""
        raise NotImplementedError

    def rights_of(self, request: Request) -> Iterable[Right]:
        """Return the rights that the call needs. Raises Unknown."""
        raise NotImplementedError

    def holder_of(self, role: str, right: Right, request: Request) -> str | None:
        """Return the name of the policy that grants the right to the role, or None."""
        raise NotImplementedError

    def deny(self, request: Request, right: Right) -> Response:
        """Return the cloud's error response for a missing right."""
        raise NotImplementedError

    def forbidden(self, request: Request) -> Response | None:
        self.requests.append(request)
        role = self.role_of(request)
        if role is not None:
            try:
                rights = list(self.rights_of(request))
            except Unknown as error:
                self.unknown.append(str(error))
                return self.deny(request, Right("unknown"))
            for right in rights:
                holder = self.holder_of(role, right, request)
                if holder is None:
                    self.lacked[role].add(right.action)
                    return self.deny(request, right)
                self.used[holder].add(right.action)
        return None
