"""Faults of Amazon's calls, for `AwsEmulator.fail`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.emulators.aws_answers import JSON, refusal, xml
from tests.emulators.aws_requests import ADVISOR, call_of, form_of, is_json
from tests.emulators.aws_world import RANGES
from tests.emulators.server import Answer, Fault, Request, Response

LISTS = {
    "DescribeRegions": "Regions",
    "DescribeAvailabilityZones": "AvailabilityZones",
    "DescribeInstanceTypes": "InstanceTypes",
    "DescribeInstanceTypeOfferings": "InstanceTypeOfferings",
    "DescribeSpotPriceHistory": "SpotPriceHistory",
}


def calls_of(action: str, region: str = "") -> Callable[[Request], bool]:
    """Match the calls of an action (or 'advisor'), in one region or all, for `Fault.meets`."""

    def meets(request: Request) -> bool:
        its_action, its_region = call_of(request)
        return its_action == action and region in ("", its_region)

    return meets


def fault(action: str, answer: Answer, region: str = "", times: int = 10**9) -> Fault:
    """Return a fault. A `Refusal` replaces the call; any other answer is given after the call was executed."""
    return Fault(calls_of(action, region), answer, times, instead=isinstance(answer, Refusal))


@dataclass(frozen=True)
class Refusal:
    """An answer to a call that is not executed."""

    code: str
    message: str
    status: int

    def __call__(self, request: Request, said: Response) -> Response:
        return refusal(request, self.code, self.message, self.status)


def throttled() -> Answer:
    return Refusal("RequestLimitExceeded", "Request limit exceeded.", 503)


def server_error() -> Answer:
    return Refusal("InternalError", "An internal error has occurred", 500)


def done_but_500() -> Answer:
    """Execute the call but answer with an error."""
    return lambda request, said: refusal(request, "InternalError", "An internal error has occurred", 500)


def refused(code: str, status: int = 403, message: str = "The message of the service") -> Answer:
    """Return any of the service's own errors, e.g. UnauthorizedOperation."""
    return Refusal(code, message, status)


def empty() -> Answer:
    """Return a valid answer with an empty list."""

    def nothing(request: Request, said: Response) -> Response:
        if request.path == ADVISOR:
            return Response(json.dumps({"ranges": RANGES, "spot_advisor": {}}).encode())
        if is_json(request):
            return Response(b'{"FormatVersion":"aws_v1","PriceList":[]}', content_type=JSON)
        action = form_of(request)["Action"]
        return Response(xml(action, LISTS[action], []), content_type=said.content_type)

    return nothing
