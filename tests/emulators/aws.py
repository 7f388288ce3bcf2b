"""Emulator of Amazon's services for boto3: EC2's query protocol, the JSON services, and the Spot Advisor's file.

Region and service of a call are in its signature. Requests are dispatched by their Action to methods: for prices here,
for machines in aws_ec2.py, for resources of the account in aws_account.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.emulators.aws_account import IN_A_RESULT, Account
from tests.emulators.aws_answers import JSON, NotAllowed, fragment, members, page, refusal, xml
from tests.emulators.aws_ec2 import Ec2, nested
from tests.emulators.aws_faults import (
    calls_of,
    done_but_500,
    empty,
    fault,
    refused,
    server_error,
    throttled,
)
from tests.emulators.aws_fis import Fis, operation_of
from tests.emulators.aws_fleet import Fleet
from tests.emulators.aws_requests import ADVISOR, call_of, form_of, is_fis, is_json, region_of, scope_of, target_of
from tests.emulators.aws_rows import LINUX
from tests.emulators.aws_vault import Vault
from tests.emulators.aws_world import RANGES, World, small_world
from tests.emulators.emulated_cloud import EmulatedCloud
from tests.emulators.server import Request, Response

__all__ = ["AwsEmulator", "calls_of", "done_but_500", "empty", "fault", "refused", "server_error", "throttled"]

LAUNCHER = {"AKIDEXAMPLE": "its-secret"}  #: access keys and secret keys that Secrets Manager accepts


class AwsEmulator(EmulatedCloud):
    """All regions of `world`. Calls: 'DescribeSpotPriceHistory us-east-1', 'GetProducts eu-west-1', 'advisor'.

    boots: whether instances run their user data; otherwise they only bill. folder: folder of the machines.
    `account` has the resources that exist before a launch, `fleet` what was launched.
    """

    def __init__(
        self, world: World | None = None, latency_s: float = 0.0, *, boots: bool = True, folder: Path | None = None
    ) -> None:
        self.world = world or small_world()
        self.account = Account(self.world)
        self.fleet = Fleet(self.world, self.account, boots, folder)
        super().__init__(latency_s, self.fleet)
        self._ec2 = Ec2(self.account, self.fleet)
        self.fis = Fis(self.fleet)
        self._vault = Vault(self.ledger, self._keys)
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
        """Render the long answers in advance, so that a benchmark only measures the client."""
        for region in self.world.regions:
            self._history(region, True, (LINUX,))
            self._products(_price_filters(region))

    @property
    def secrets(self) -> dict[str, str]:
        return self._vault.secrets

    def _keys(self, key: str) -> tuple[str, str | None, bool] | None:
        return (LAUNCHER[key], None, False) if key in LAUNCHER else self.fleet.keys(key)

    def name_of(self, request: Request) -> str:
        if is_fis(request):
            return f"{operation_of(request)} {region_of(request)}"
        action, region = call_of(request)
        return "advisor" if action == "advisor" else f"{action} {region}"

    def answer(self, request: Request) -> Response:
        if request.path == ADVISOR:
            return Response(self._advisor)
        if is_fis(request):
            return self.fis.answer(request, region_of(request))
        try:
            return self._json(request) if is_json(request) else self._query(request)
        except NotAllowed as error:
            return refusal(request, error.code, str(error), error.status)

    def _json(self, request: Request) -> Response:
        operation, scope, asked = target_of(request), scope_of(request), json.loads(request.body)
        if scope[3] == "secretsmanager":
            return self._vault.answer(request, operation, scope)
        if operation == "GetProducts":
            return self._get_products(asked)
        if operation == "GetParameter":
            return self.account.parameter(scope[2], asked)
        if operation == "GetServiceQuota":
            return self.account.quota(scope[2], asked)
        raise NotAllowed("UnknownOperationException", operation)

    def _query(self, request: Request) -> Response:
        form, region = form_of(request), region_of(request)
        action = form.get("Action", "")
        if action in IN_A_RESULT:
            return self.account.in_a_result(action, form)
        answers: dict[str, Callable[[str, dict[str, str]], bytes]] = {
            "DescribeRegions": self._regions,
            "DescribeAvailabilityZones": self._zones,
            "DescribeInstanceTypes": self._types,
            "DescribeInstanceTypeOfferings": self._offerings,
            "DescribeSpotPriceHistory": self._prices,
        }
        if action not in answers and action not in self._ec2.actions:
            raise NotAllowed("InvalidAction", f"The action {action} is not valid for this web service.")
        if region not in self.world.zones:
            raise NotAllowed("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        said = answers[action](region, form) if action in answers else self._ec2.actions[action](region, nested(form))
        return Response(said, content_type="text/xml;charset=UTF-8")

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
        if types := set(members(form, "InstanceType")):
            return xml(
                "DescribeSpotPriceHistory", "SpotPriceHistory", *page(form, self._of_pool(region, form, types), 1000)
            )
        # Any start time is after the last change in the world.
        rows = self._history(region, "StartTime" in form, tuple(members(form, "ProductDescription")))
        return xml("DescribeSpotPriceHistory", "SpotPriceHistory", *page(form, rows, largest=1000))

    def _of_pool(self, region: str, form: dict[str, str], types: set[str]) -> list[bytes]:
        """Return the changes between two times, and the last one before them."""
        since, until = (datetime.fromisoformat(form[name]) for name in ("StartTime", "EndTime"))
        rows = [
            row
            for row in self.world.history[region]
            if row["InstanceType"] in types
            and row["AvailabilityZone"] == form.get("AvailabilityZone", row["AvailabilityZone"])
            and _is_of(row, tuple(members(form, "ProductDescription")))
            and row["Timestamp"] <= until
        ]
        rows.sort(key=lambda row: row["Timestamp"], reverse=True)
        after = [row for row in rows if row["Timestamp"] > since]
        told = after + [row for row in rows if row["Timestamp"] <= since][:1]
        return [fragment("DescribeSpotPriceHistory", "SpotPriceHistory", row) for row in told]

    def reprice(self, id_: str, usd_h: float) -> None:
        """Change the price of a machine's pool now."""
        self.fleet.reprice(id_, usd_h)
        self._history.cache_clear()

    def _read_history(self, region: str, current: bool, products: tuple[str, ...]) -> list[bytes]:
        """Return all changes, or the newest of every pool; newest first, except for rows marked `Always`."""
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
        # A list of JSON texts, each encoded as a JSON string.
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


def _price_filters(region: str) -> tuple[tuple[str, str], ...]:
    """Return the filters that the client uses, to render their answers in advance."""
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
