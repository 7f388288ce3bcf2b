"""Secrets Manager: moto's, restricted to signed calls of the launcher and of running machines.

moto keeps its state by account; every emulator has its own account, so that emulators are independent.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from functools import cache
from secrets import randbelow
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.emulators.aws_answers import NotAllowed
from tests.emulators.ledger import Ledger
from tests.emulators.server import Request, Response

USD_H = 0.40 / 730  # AWS Secrets Manager pricing, a secret
READING = {"GetSecretValue"}  # operations allowed by a machine's role


@cache
def _moto() -> Any:
    """Return moto's server in this process. Its import takes half a second, so it is deferred to the first use."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.test import Client

    return Client(DomainDispatcherApplication(create_backend_app))


class Vault:
    """`keys`: returns (secret key, session token, whether a machine) of an access key, None if it is unknown."""

    def __init__(self, ledger: Ledger, keys: Callable[[str], tuple[str, str | None, bool] | None]) -> None:
        self._account = f"{10**11 + randbelow(8 * 10**11)}"
        self._ledger = ledger
        self._keys = keys
        self._regions: set[str] = set()
        self._billed: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, request: Request, operation: str, scope: list[str]) -> Response:
        """Answer a call. Raises NotAllowed if the caller has no permission."""
        self._admit(request, operation, scope)
        headers = {**request.headers, "x-moto-account-id": self._account}
        with self._lock:
            self._regions.add(scope[2])
            said = _moto().post("/", data=request.body, headers=headers)
            self._bill()
        return Response(said.get_data(), said.status_code, said.headers["Content-Type"])

    def _admit(self, request: Request, operation: str, scope: list[str]) -> None:
        found = self._keys(scope[0])
        if found is None:
            raise NotAllowed("UnrecognizedClientException", "The security token included in the request is invalid.")
        secret_key, token, of_machine = found
        if token != request.headers.get("x-amz-security-token") or not _is_signed(request, scope, secret_key):
            raise NotAllowed("InvalidSignatureException", "The request signature we calculated does not match.")
        if of_machine and operation not in READING:
            raise NotAllowed("AccessDeniedException", f"not authorized to perform: secretsmanager:{operation}")

    @property
    def secrets(self) -> dict[str, str]:
        """Existing secrets by name."""
        if not self._regions:
            return {}
        from moto.secretsmanager.models import secretsmanager_backends

        found = {}
        for region in self._regions:
            for secret in secretsmanager_backends[self._account][region].secrets.values():
                if not secret.is_deleted():
                    found[secret.name] = secret.versions[secret.default_version_id]["secret_string"]
        return found

    def _bill(self) -> None:
        there = set(self.secrets)
        for name in there - self._billed:
            self._ledger.open("secret", name, USD_H)
        for name in self._billed - there:
            self._ledger.close("secret", name)
        self._billed = there


def _is_signed(request: Request, scope: list[str], secret_key: str) -> bool:
    """Whether the signature equals the one that botocore computes for the signed headers."""
    fields = dict(
        part.strip().partition("=")[::2]
        for part in request.headers.get("authorization", "").partition(" ")[2].split(",")
    )
    names = fields.get("SignedHeaders", "").split(";")
    if not {"host", "x-amz-date"} <= set(names):
        return False
    url = f"http://{request.headers['host']}{request.path}"
    covered = {name: request.headers.get(name, "") for name in names}
    asked = AWSRequest(request.method, url, headers=covered, data=request.body)
    asked.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(scope[0], secret_key), scope[3], scope[2])
    text = signer.string_to_sign(asked, signer.canonical_request(asked))
    return hmac.compare_digest(signer.signature(text, asked), fields.get("Signature", ""))
