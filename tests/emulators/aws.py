"""Amazon's services as boto3 meets them: EC2's query protocol, the Price List API, and the Spot Advisor's file.

The region of a call stands in its signature. Every request goes by its Action, so that one more is one more method.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from tests.emulators.aws_answers import JSON, NotAllowed, fragment, members, page, refusal, xml
from tests.emulators.aws_rows import LINUX
from tests.emulators.aws_world import RANGES, World, small_world
from tests.emulators.server import Answer, Emulator, Fault, Request, Response

LISTS = {
    "DescribeRegions": "Regions",
    "DescribeAvailabilityZones": "AvailabilityZones",
    "DescribeInstanceTypes": "InstanceTypes",
    "DescribeInstanceTypeOfferings": "InstanceTypeOfferings",
    "DescribeSpotPriceHistory": "SpotPriceHistory",
}
ADVISOR = "/spot-advisor-data.json"


class AwsEmulator(Emulator):
    """All regions of `world`. Calls: 'DescribeSpotPriceHistory us-east-1', 'GetProducts eu-west-1', 'advisor'."""

    def __init__(self, world: World | None = None, latency_s: float = 0.0) -> None:
        super().__init__(latency_s)
        self.world = world or small_world()
        self._history = cache(self._read_history)
        self._products = cache(self._read_products)
        self._shapes = {
            name: fragment("DescribeInstanceTypes", "InstanceTypes", row) for name, row in self.world.types.items()
        }
        advisor = {
            "ranges": RANGES,
            "instance_types": {},
            "spot_advisor": {region: {"Linux": rows, "Windows": {}} for region, rows in self.world.advisor.items()},
            "global_rate": "<10%",
        }
        self._advisor = json.dumps(advisor).encode()

    def warm(self) -> None:
        """Render the long answers now, so that a benchmark measures the client alone."""
        for region in self.world.regions:
            self._history(region, True, (LINUX,))
            self._products(_price_filters(region))

    def name_of(self, request: Request) -> str:
        if request.path == ADVISOR:
            return "advisor"
        if _is_pricing(request):
            return f"{_target(request)} {dict(_filters(request)).get('regionCode', '')}"
        return f"{_form(request).get('Action', '?')} {_region(request)}"

    def answer(self, request: Request) -> Response:
        if request.path == ADVISOR:
            return Response(self._advisor)
        if _is_pricing(request):
            return self._get_products(json.loads(request.body))
        form, region = _form(request), _region(request)
        action = form.get("Action", "")
        answers: dict[str, Callable[[str, dict[str, str]], bytes]] = {
            "DescribeRegions": self._regions,
            "DescribeAvailabilityZones": self._zones,
            "DescribeInstanceTypes": self._types,
            "DescribeInstanceTypeOfferings": self._offerings,
            "DescribeSpotPriceHistory": self._prices,
        }
        try:
            if action not in answers:
                raise NotAllowed("InvalidAction", f"The action {action} is not valid for this web service.")
            if region not in self.world.zones:
                raise NotAllowed("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
            return Response(answers[action](region, form), content_type="text/xml;charset=UTF-8")
        except NotAllowed as error:
            return refusal(request, error.code, str(error), error.status)

    def _regions(self, region: str, form: dict[str, str]) -> bytes:
        rows = [{"RegionName": name, "OptInStatus": "opt-in-not-required"} for name in self.world.regions]
        if form.get("AllRegions") == "true":
            rows += [{"RegionName": name, "OptInStatus": "not-opted-in"} for name in self.world.not_enabled]
        return xml("DescribeRegions", "Regions", [fragment("DescribeRegions", "Regions", row) for row in rows])

    def _zones(self, region: str, form: dict[str, str]) -> bytes:
        action, member = "DescribeAvailabilityZones", "AvailabilityZones"
        return xml(action, member, [fragment(action, member, row) for row in self.world.zones[region]])

    def _types(self, region: str, form: dict[str, str]) -> bytes:
        names, here = members(form, "InstanceType"), self.world.offered[region]
        if names and "MaxResults" in form:
            raise NotAllowed("InvalidParameterCombination", "InstanceTypes and MaxResults cannot be used together")
        if len(names) > 100:
            raise NotAllowed("InvalidParameterValue", "At most 100 instance types")
        if strange := [name for name in names if name not in here]:
            raise NotAllowed("InvalidInstanceType", f"The following supplied instance types do not exist: {strange}")
        rows = [self._shapes[name] for name in names or here]
        listed, token = (rows, "") if names else page(form, rows, largest=100)
        return xml("DescribeInstanceTypes", "InstanceTypes", listed, token)

    def _offerings(self, region: str, form: dict[str, str]) -> bytes:
        action, member = "DescribeInstanceTypeOfferings", "InstanceTypeOfferings"
        rows = [
            fragment(action, member, {"InstanceType": name, "LocationType": "region", "Location": region})
            for name in self.world.offered[region]
        ]
        return xml(action, member, *page(form, rows, largest=1000))

    def _prices(self, region: str, form: dict[str, str]) -> bytes:
        # Whatever its start time is, it is after the last change in the world.
        rows = self._history(region, "StartTime" in form, tuple(members(form, "ProductDescription")))
        return xml("DescribeSpotPriceHistory", "SpotPriceHistory", *page(form, rows, largest=1000))

    def _read_history(self, region: str, current: bool, products: tuple[str, ...]) -> list[bytes]:
        """All changes, or the newest of every pool; newest first, but for rows that are always there."""
        rows = [row for row in self.world.history[region] if not products or _is_of(row, products)]
        rows.sort(key=lambda row: (not row.get("Always"), row["Timestamp"]), reverse=True)
        if current:
            newest: dict[tuple[str, ...], datetime] = {}
            for row in rows:
                newest.setdefault(_pool(row), row["Timestamp"])
            rows = [row for row in rows if row.get("Always") or newest[_pool(row)] == row["Timestamp"]]
        return [fragment("DescribeSpotPriceHistory", "SpotPriceHistory", row) for row in rows]

    def _get_products(self, asked: dict[str, Any]) -> Response:
        filters = tuple((one["Field"], one["Value"]) for one in asked.get("Filters", []))
        size, start = min(asked.get("MaxResults", 100), 100), int(asked.get("NextToken", "0"))
        rows = self._products(filters)
        # A list of JSON texts, each already a JSON string.
        body = b'{"FormatVersion":"aws_v1","PriceList":[' + b",".join(rows[start : start + size]) + b"]"
        token = f',"NextToken":"{start + size}"' if start + size < len(rows) else ""
        return Response(body + token.encode() + b"}", content_type=JSON)

    def _read_products(self, filters: tuple[tuple[str, str], ...]) -> list[bytes]:
        region = dict(filters).get("regionCode", "")
        return [
            json.dumps(json.dumps(product, separators=(",", ":"))).encode()
            for product in self.world.products.get(region, [])
            if all(product["product"]["attributes"].get(name) == value for name, value in filters)
        ]


def calls_of(action: str, region: str = "") -> Callable[[Request], bool]:
    """Picks the calls of an action (or 'advisor'), of one region or of all, for `Fault.meets`."""

    def meets(request: Request) -> bool:
        if request.path == ADVISOR or _is_pricing(request):
            name = "advisor" if request.path == ADVISOR else _target(request)
            return name == action and (not region or dict(_filters(request)).get("regionCode") == region)
        return _form(request).get("Action") == action and (not region or _region(request) == region)

    return meets


def fault(action: str, answer: Answer, region: str = "", times: int = 10**9) -> Fault:
    return Fault(calls_of(action, region), answer, times)


def throttled() -> Answer:
    return lambda request, said: refusal(request, "RequestLimitExceeded", "Request limit exceeded.", 503)


def server_error() -> Answer:
    return lambda request, said: refusal(request, "InternalError", "An internal error has occurred", 500)


def refused(code: str, status: int = 403) -> Answer:
    """Any of the service's own errors, e.g. UnauthorizedOperation."""
    return lambda request, said: refusal(request, code, "The message of the service", status)


def empty() -> Answer:
    """A good answer that lists nothing."""

    def nothing(request: Request, said: Response) -> Response:
        if request.path == ADVISOR:
            return Response(json.dumps({"ranges": RANGES, "spot_advisor": {}}).encode())
        if _is_pricing(request):
            return Response(b'{"FormatVersion":"aws_v1","PriceList":[]}', content_type=JSON)
        action = _form(request)["Action"]
        return Response(xml(action, LISTS[action], []), content_type=said.content_type)

    return nothing


def _price_filters(region: str) -> tuple[tuple[str, str], ...]:
    """As the wing asks; only what it asks is worth rendering beforehand."""
    return (
        ("regionCode", region),
        ("operatingSystem", "Linux"),
        ("tenancy", "Shared"),
        ("preInstalledSw", "NA"),
        ("capacitystatus", "Used"),
        ("marketoption", "OnDemand"),
    )


def _pool(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["AvailabilityZone"], row["InstanceType"], row["ProductDescription"])


def _is_of(row: dict[str, Any], products: tuple[str, ...]) -> bool:
    return str(row["ProductDescription"]).removesuffix(" (Amazon VPC)") in products


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}


def _scope(request: Request) -> list[str]:
    """Of the signature: key, date, region, service."""
    return request.headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")


def _region(request: Request) -> str:
    scope = _scope(request)
    return scope[2] if len(scope) > 2 else ""


def _is_pricing(request: Request) -> bool:
    return "x-amz-target" in request.headers


def _target(request: Request) -> str:
    return request.headers["x-amz-target"].partition(".")[2]


def _filters(request: Request) -> list[tuple[str, str]]:
    return [(one["Field"], one["Value"]) for one in json.loads(request.body).get("Filters", [])]
