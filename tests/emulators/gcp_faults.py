"""Faults of Google's calls, for `GcpEmulator.fail`."""

from __future__ import annotations

from tests.emulators.gcp_answers import error
from tests.emulators.gcp_routes import route
from tests.emulators.server import Answer, Fault, Request, Response


def fault(kind: str, answer: Answer, page: int | None = None, times: int = 10**9) -> Fault:
    """Return a fault for calls of a kind, e.g. MACHINE_TYPES or INSERT; for one page of a list, from 0, or for all."""

    def meets(request: Request) -> bool:
        token = request.query.get("pageToken", "page-0")
        return route(request)[0] == kind and (page is None or token == f"page-{page}")

    return Fault(meets, answer, times)


def throttled() -> Answer:
    return lambda request, said: error(429, "rateLimitExceeded", "Rate Limit Exceeded")


def throttled_as_forbidden() -> Answer:
    """Throttle with a 403, as Compute Engine has also done."""
    return lambda request, said: error(403, "rateLimitExceeded", "Rate Limit Exceeded")


def server_error() -> Answer:
    return lambda request, said: error(503, "backendError", "Backend Error")


def refused(status: int = 403, reason: str = "forbidden") -> Answer:
    """Return any of the services' own errors."""
    return lambda request, said: error(status, reason, "The message of the service")


def empty() -> Answer:
    """Return a valid answer with an empty list."""
    return lambda request, said: Response(b'{"nextPageToken": ""}')
