"""Signed token that identifies one attempt; a machine holds it instead of the controller's credentials.

A JWT (RFC 7519) signed with HMAC-SHA256. Only the proxy accepts it, and only while the attempt's lease exists:
deleting the lease, which fences the machine off, revokes the token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from spotwave.node.identity import MOST_NODES, node_name

KEY_CHARS = 32  #: minimum length of the key; RFC 7518 section 3.2 requires 256 bits with HS256
USER = "machine"  #: user name when a token is sent as the password of basic authentication

_ALGORITHM = "HS256"
_JOB = re.compile(r"sw-[0-9a-f]{12}")


class BadToken(Exception):
    """Wrong signature, expired, or a missing claim. The message never quotes the token."""


@dataclass(frozen=True)
class AttemptToken:
    """One machine's attempt at a job. The queue, the Prefect worker and the node run's idempotency key use its name."""

    job_key: str
    attempt: int
    lease_id: UUID  #: artifact that the machine renews
    expires: int  #: Unix seconds
    node: int = 0  #: which of the attempt's machines

    @property
    def name(self) -> str:
        """The machine's name, which for node 0 is the attempt's."""
        return node_name(self.job_key, self.attempt, self.node)

    def signed(self, key: str) -> str:
        """Return the token as text; the same for the same attempt, so that a repeated launch changes nothing."""
        claims = {"job": self.job_key, "attempt": self.attempt, "lease": str(self.lease_id), "exp": self.expires}
        if self.node:  # node 0's is the token of earlier versions
            claims["node"] = self.node
        return jwt.encode(claims, key, algorithm=_ALGORITHM)

    @classmethod
    def read(cls, text: str, key: str) -> AttemptToken:
        """Verify and parse a token. Raises BadToken."""
        claims = _claims(text, key, ["job", "attempt", "lease", "exp"])
        job, attempt, lease = claims["job"], claims["attempt"], claims["lease"]
        if not isinstance(job, str) or not _JOB.fullmatch(job) or type(attempt) is not int or attempt < 1:
            raise BadToken("the token names no attempt")
        if type(node := claims.get("node", 0)) is not int or not 0 <= node < MOST_NODES:
            raise BadToken("the token names no node")
        try:
            return cls(job, attempt, UUID(lease), int(claims["exp"]), node)
        except (ValueError, TypeError, AttributeError):
            raise BadToken("the token names no lease") from None


def question(key: str, expires: int) -> str:
    """Return a token without rights; `PrefectAccess.reached` uses it to test whether the proxy has the same key."""
    return jwt.encode({"question": True, "exp": expires}, key, algorithm=_ALGORITHM)


def is_ours(text: str, key: str) -> bool:
    """Whether a token was signed with this key and has not expired."""
    try:
        _claims(text, key, ["exp"])
    except BadToken:
        return False
    return True


def _claims(text: str, key: str, needed: list[str]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jwt.decode(text, key, algorithms=[_ALGORITHM], options={"require": needed})
    except jwt.ExpiredSignatureError:
        raise BadToken("the token has expired") from None
    except jwt.PyJWTError:
        raise BadToken("the token was not signed by Spotwave") from None
    return found
