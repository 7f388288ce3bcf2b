"""Metadata services of the three clouds, as seen from a machine: callables that answer requests.

They also hold what an emulator must accept from a running machine: `AwsMetadata.credentials`, `GcpMetadata.token`,
`AzureMetadata.token_for(resource)`. All are thread-safe.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from secrets import token_hex

from tests.emulators.server import Request, Response

NOT_FOUND = Response(b"<?xml version='1.0'?><title>404 - Not Found</title>", 404, "text/html")


def _text(said: str) -> Response:
    return Response(said.encode(), content_type="text/plain")


def _json(said: object, status: int = 200) -> Response:
    return Response(json.dumps(said).encode(), status)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class AwsMetadata:
    """IMDSv2, with version 1 disabled."""

    def __init__(
        self,
        id_: str,
        *,
        region: str,
        zone: str,
        instance_type: str = "c7i.large",
        role: str | None = "spotwave-machine",  #: None: launched without an instance profile
        launch_index: int = 0,  #: among the instances of one RunInstances
    ) -> None:
        self.launch_index = launch_index
        self.id, self.region, self.zone, self.instance_type, self.role = id_, region, zone, instance_type, role
        self.credentials = {
            "AccessKeyId": f"ASIA{token_hex(8).upper()}",
            "SecretAccessKey": token_hex(20),
            "Token": token_hex(64),
        }
        self._tokens: dict[str, float] = {}
        self._action: float | None = None
        self._rebalance: float | None = None

    def notice(self, at: float) -> None:
        """Announce the spot instance's termination at a time (Unix seconds)."""
        self._action = at

    def rebalance(self) -> None:
        """Send the early rebalance recommendation."""
        self._rebalance = time.time()

    def expire_tokens(self) -> None:
        """Reject all tokens issued so far."""
        self._tokens.clear()

    def __call__(self, request: Request) -> Response:
        if request.path == "/latest/api/token":
            return self._new_token(request)
        if self._tokens.get(request.headers.get("x-aws-ec2-metadata-token", ""), 0) < time.time():
            return Response(b"", 401, "text/html")
        known = {
            "meta-data/instance-id": self.id,
            "meta-data/ami-launch-index": str(self.launch_index),
            "meta-data/instance-type": self.instance_type,
            "meta-data/placement/region": self.region,
            "meta-data/placement/availability-zone": self.zone,
            "dynamic/instance-identity/document": json.dumps(
                {"instanceId": self.id, "region": self.region, "availabilityZone": self.zone}
            ),
        }
        if self._action is not None:
            known["meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": _iso(self._action)})
        if self._rebalance is not None:
            known["meta-data/events/recommendations/rebalance"] = json.dumps({"noticeTime": _iso(self._rebalance)})
        if self.role is not None:
            roles = "meta-data/iam/security-credentials/"
            known[roles] = self.role
            known[roles + self.role] = json.dumps(
                {"Code": "Success", "Type": "AWS-HMAC", "Expiration": _iso(time.time() + 6 * 3600), **self.credentials}
            )
        said = known.get(request.path.removeprefix("/latest/"))
        return NOT_FOUND if said is None or request.method != "GET" else _text(said)

    def _new_token(self, request: Request) -> Response:
        if request.method != "PUT":
            return Response(b"", 405)
        try:
            ttl_s = int(request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", ""))
        except ValueError:
            return Response(b"", 400)
        if not 1 <= ttl_s <= 21600:
            return Response(b"", 400)
        token = token_hex(28)
        self._tokens[token] = time.time() + ttl_s
        return _text(token)


class GcpMetadata:
    """computeMetadata/v1. It announces only that a preemption happens now, not when the machine ends."""

    def __init__(
        self,
        name: str,
        *,
        project: str,
        zone: str,
        id_: str = "4242424242424242424",
        project_number: int = 123456789012,
        machine_type: str = "n2-standard-2",
        attributes: Mapping[str, str] | None = None,  #: the instance's metadata items
        service_account: str | None = "spotwave-machine@example.iam.gserviceaccount.com",
    ) -> None:
        self.name, self.project, self.zone = name, project, zone
        self.token = f"ya29.{token_hex(40)}"
        self._account = service_account
        self._preempted = threading.Condition()
        self._is_preempted = False
        number = f"projects/{project_number}"
        self._known = {
            "instance/name": name,
            "instance/id": id_,
            "instance/zone": f"{number}/zones/{zone}",
            "instance/machine-type": f"{number}/machineTypes/{machine_type}",
            "project/project-id": project,
            "project/numeric-project-id": str(project_number),
            **{f"instance/attributes/{key}": value for key, value in (attributes or {}).items()},
        }

    def notice(self, at: float | None = None) -> None:
        """Preempt the instance: TRUE from now on (`at` is the caller's plan, and is not announced)."""
        with self._preempted:
            self._is_preempted = True
            self._preempted.notify_all()

    def __call__(self, request: Request) -> Response:
        if request.headers.get("metadata-flavor") != "Google":
            return Response(b"Missing Metadata-Flavor:Google header.", 403, "text/html")
        if "x-forwarded-for" in request.headers or request.method != "GET":
            return Response(b"", 403, "text/html")
        path = request.path.removeprefix("/computeMetadata/v1/")
        if path == "instance/preempted":
            said = self._hanging(request)
        elif path == "instance/service-accounts/default/token" and self._account is not None:
            return self._flavoured(
                _json({"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"}), "token"
            )
        elif path == "instance/service-accounts/default/email" and self._account is not None:
            said = self._account
        elif path in self._known:
            said = self._known[path]
        else:
            return NOT_FOUND
        return self._flavoured(_text(said), said)

    def _hanging(self, request: Request) -> str:
        """Return the value; with wait_for_change, wait until it differs from `last_etag` (default: from now)."""

        def value() -> str:
            return "TRUE" if self._is_preempted else "FALSE"

        with self._preempted:
            if request.query.get("wait_for_change") == "true":
                seen = request.query.get("last_etag", _etag(value()))
                timeout_s = float(request.query.get("timeout_sec", 60))
                self._preempted.wait_for(lambda: _etag(value()) != seen, timeout=timeout_s)
            return value()

    @staticmethod
    def _flavoured(said: Response, value: str) -> Response:
        headers = {"Metadata-Flavor": "Google", "ETag": _etag(value)}
        return Response(said.body, said.status, said.content_type, headers)


def _etag(value: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, value).hex[:16]


class AzureMetadata:
    """IMDS and Scheduled Events. `first_call_s`: duration of the first call for events (in Azure up to 120 s)."""

    def __init__(
        self,
        name: str,
        *,
        resource_id: str,  #: /subscriptions/.../providers/Microsoft.Compute/virtualMachines/<name>
        location: str,
        zone: str | None = None,
        size: str = "Standard_D2s_v5",
        client_id: str | None = None,  #: of the user-assigned identity; None: the VM has none
        first_call_s: float = 0.0,
    ) -> None:
        self.name, self.resource_id, self.location, self.client_id = name, resource_id, location, client_id
        _, _, subscription, _, group, *_ = resource_id.split("/")
        self._compute = {
            "name": name,
            "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, resource_id)),
            "resourceId": resource_id,
            "location": location,
            "zone": zone or "",
            "vmSize": size,
            "subscriptionId": subscription,
            "resourceGroupName": group,
            "priority": "Spot",
        }
        self._tokens: dict[str, str] = {}
        self._events: dict[str, dict[str, object]] = {}
        self._incarnation = 1
        self._first_call_s = first_call_s
        self._enabled = False
        self._lock = threading.Lock()

    def notice(self, at: float) -> str:
        """Announce a Preempt of this machine, not before a time (Unix seconds); return the event's id."""
        return self.event("Preempt", at)

    def event(self, kind: str, at: float, resources: list[str] | None = None) -> str:
        """Announce any event: Freeze, Reboot, Redeploy, Preempt, Terminate."""
        with self._lock:
            id_ = str(uuid.uuid4()).upper()
            self._incarnation += 1
            self._events[id_] = {
                "EventId": id_,
                "EventType": kind,
                "ResourceType": "VirtualMachine",
                "Resources": resources or [self.name],
                "EventStatus": "Scheduled",
                "NotBefore": formatdate(at, usegmt=True),
                "Description": "",
                "EventSource": "Platform",
                "DurationInSeconds": -1,
            }
            return id_

    def start(self, event_id: str) -> None:
        """Start the event: its NotBefore is empty from now on."""
        with self._lock:
            self._incarnation += 1
            self._events[event_id] |= {"EventStatus": "Started", "NotBefore": ""}

    def token_for(self, resource: str) -> str:
        """Return the identity's access token for e.g. https://vault.azure.net, with or without a trailing slash."""
        with self._lock:
            return self._tokens.setdefault(resource.rstrip("/"), f"eyJ0eXAi.{token_hex(60)}.{token_hex(20)}")

    def __call__(self, request: Request) -> Response:
        if request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return _json({"error": "Bad request. Required metadata header not specified"}, 400)
        if "api-version" not in request.query:
            return _json({"error": "Bad request. api-version was not specified in the request"}, 400)
        path = request.path.removeprefix("/metadata/").rstrip("/")
        if path == "scheduledevents":
            return self._scheduled()
        if path == "identity/oauth2/token":
            return self._identity(request)
        if path in ("instance", "instance/compute"):
            return _json({"compute": self._compute} if path == "instance" else self._compute)
        field = path.removeprefix("instance/compute/")
        if field in self._compute and request.query.get("format") == "text":
            return _text(self._compute[field])
        return _json({"error": "Not found"}, 404)

    def _scheduled(self) -> Response:
        with self._lock:
            first, self._enabled = not self._enabled, True
        if first:
            time.sleep(self._first_call_s)  # simulates the service's delay
        with self._lock:
            return _json({"DocumentIncarnation": self._incarnation, "Events": list(self._events.values())})

    def _identity(self, request: Request) -> Response:
        asked, resource = request.query.get("client_id"), request.query.get("resource")
        if self.client_id is None or (asked is not None and asked != self.client_id) or resource is None:
            return _json({"error": "invalid_request", "error_description": "Identity not found"}, 400)
        return _json(
            {
                "access_token": self.token_for(resource),
                "client_id": self.client_id,
                "expires_in": "86399",
                "expires_on": str(int(time.time()) + 86399),
                "resource": resource,
                "token_type": "Bearer",
            }
        )
