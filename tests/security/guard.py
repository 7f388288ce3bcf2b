"""Emulators that hold everybody to the policies of deployments/policies, and remember which right each call took.

A guard is mixed into a cloud's emulator: before a call is answered it is asked who makes it, which rights it takes by
the service's documentation, and whether the caller's policy gives them; if not, it is refused as the cloud refuses.
A call whose rights nobody has written down is refused too, and fails the test by `unknown`.
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
    """One right that a call takes: the action in the cloud's words, on what, and what a condition may look at."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


def shows(request: Request, secret: str) -> bool:
    """Whether it stands anywhere in a request, also in base64 and in what is encoded for an address or a form."""
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
    """A call whose rights are not written down."""


class Guarded:
    """Mixed into an emulator, in front of it."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.used: defaultdict[str, set[str]] = defaultdict(set)  #: actions that were allowed, by role
        self.lacked: defaultdict[str, set[str]] = defaultdict(set)  #: actions that were refused, by role
        self.unknown: list[str] = []
        self.requests: list[Request] = []  #: all, as they came

    def role_of(self, request: Request) -> str | None:
        """'launcher' or 'machine'; None for what needs no permission at all, or for a stranger."""
        raise NotImplementedError

    def rights_of(self, request: Request) -> Iterable[Right]:
        """Raises Unknown."""
        raise NotImplementedError

    def holder_of(self, role: str, right: Right, request: Request) -> str | None:
        """The name of the policy that gives the right to the role, or None."""
        raise NotImplementedError

    def deny(self, request: Request, right: Right) -> Response:
        """As the cloud words it."""
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
