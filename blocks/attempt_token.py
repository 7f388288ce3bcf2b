"""What a machine holds instead of the controller's credentials: a signed statement of whose attempt it is.

A JWT (RFC 7519) signed with HMAC-SHA256. It opens the proxy alone, and only while the attempt's lease exists:
deleting the lease, which fences the machine off, is the revocation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from spotwave.node.identity import MOST_NODES, node_name

KEY_CHARS = 32  #: the shortest key; RFC 7518 section 3.2 asks for 256 bits with HS256
USER = "machine"  #: the user's name where a token travels as the password of basic authentication

_ALGORITHM = "HS256"
_JOB = re.compile(r"sw-[0-9a-f]{12}")


class BadToken(Exception):
    """Not signed by us, over, or without what a token must tell. The message never quotes the token."""


@dataclass(frozen=True)
class AttemptToken:
    """One machine's go at a job; the queue, the Prefect worker and the node run's idempotency key bear its name."""

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
        """The token as text; the same for the same attempt, so that a repeated launch changes nothing."""
        claims = {"job": self.job_key, "attempt": self.attempt, "lease": str(self.lease_id), "exp": self.expires}
        if self.node:  # node 0's is the token of earlier versions
            claims["node"] = self.node
        return jwt.encode(claims, key, algorithm=_ALGORITHM)

    @classmethod
    def read(cls, text: str, key: str) -> AttemptToken:
        """Raises BadToken."""
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
    """A token that opens nothing: with it `reached` learns whether the proxy knows the same key."""
    return jwt.encode({"question": True, "exp": expires}, key, algorithm=_ALGORITHM)


def is_ours(text: str, key: str) -> bool:
    """Whether a token was signed with this key and is not over."""
    try:
        _claims(text, key, ["exp"])
    except BadToken:
        return False
    return True


def _claims(text: str, key: str, needed: list[str]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jwt.decode(text, key, algorithms=[_ALGORITHM], options={"require": needed})
    except jwt.ExpiredSignatureError:
        raise BadToken("the token is over") from None
    except jwt.PyJWTError:
        raise BadToken("the token is not signed by us") from None
    return found
