"""Unused resources other than instances: disks, interfaces, spot requests and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spotwave.blocks.aws.all_regions import in_all_regions
from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.aws.secrets import delete_secret
from spotwave.blocks.aws.setup import tag_dict
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Leftover
from spotwave.blocks.tags import JOB, deadline_in

_ENDED = ["shutting-down", "terminated"]


class Leftovers:
    """Leftovers in every region, found by tag. Public addresses are deleted with their interface, so none remain."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def find(self, job_key: str | None = None) -> list[Leftover]:
        """Return those of one job, or of all. Raises a LaunchRefused if a region does not answer."""
        found = in_all_regions(self._clients, lambda region: self._in(region, job_key))
        return [leftover for rows in found.values() for leftover in rows]

    def _in(self, region: str, job_key: str | None) -> list[Leftover]:
        tagged = (
            {"Name": "tag-key", "Values": [JOB]} if job_key is None else {"Name": f"tag:{JOB}", "Values": [job_key]}
        )
        free = [tagged, {"Name": "status", "Values": ["available"]}]
        # An open request would launch an instance. An active one holds an instance, here one that has ended.
        waiting = [tagged, {"Name": "state", "Values": ["open", "active"]}]
        ask = self._clients.listed
        requests = ask("ec2", region, "describe_spot_instance_requests", "SpotInstanceRequests", Filters=waiting)
        if requests:
            running = self._running(region, tagged)
            requests = [row for row in requests if row.get("InstanceId") not in running]
        found = [
            *_read("disk", "VolumeId", region, ask("ec2", region, "describe_volumes", "Volumes", Filters=free)),
            *_read(
                "nic",
                "NetworkInterfaceId",
                region,
                ask("ec2", region, "describe_network_interfaces", "NetworkInterfaces", Filters=free),
            ),
            *_read("spot request", "SpotInstanceRequestId", region, requests),
            *_read("secret", "Name", region, self._secrets(region)),
        ]
        return [leftover for leftover in found if job_key in (None, leftover.job_key)]

    def _running(self, region: str, tagged: dict[str, Any]) -> set[str]:
        reservations = self._clients.listed("ec2", region, "describe_instances", "Reservations", Filters=[tagged])
        rows = [row for reservation in reservations for row in reservation["Instances"]]
        return {row["InstanceId"] for row in rows if row["State"]["Name"] not in _ENDED}

    def _secrets(self, region: str) -> list[dict[str, Any]]:
        filters = [{"Key": "tag-key", "Values": [JOB]}]
        return self._clients.listed("secretsmanager", region, "list_secrets", "SecretList", Filters=filters)

    def remove(self, leftover: Leftover) -> None:
        """Delete it; no error if it is already gone. Raises a LaunchRefused."""
        if leftover.kind == "secret":
            delete_secret(self._clients, leftover.region, leftover.id)
            return
        operations: Mapping[str, tuple[str, dict[str, Any], str]] = {
            "disk": ("delete_volume", {"VolumeId": leftover.id}, "InvalidVolume.NotFound"),
            "nic": (
                "delete_network_interface",
                {"NetworkInterfaceId": leftover.id},
                "InvalidNetworkInterfaceID.NotFound",
            ),
            "spot request": (
                "cancel_spot_instance_requests",
                {"SpotInstanceRequestIds": [leftover.id]},
                "InvalidSpotInstanceRequestID.NotFound",
            ),
        }
        operation, parameters, gone = operations[leftover.kind]
        try:
            self._clients.call("ec2", leftover.region, operation, **parameters)
        except LaunchRefused as refused:
            if code_behind(refused) != gone:
                raise


def _read(kind: Any, id_: str, region: str, rows: list[dict[str, Any]]) -> list[Leftover]:
    """Return the rows that have Spotwave's tag, as leftovers."""
    found = []
    for row in rows:
        tags = tag_dict(row.get("Tags") or row.get("TagSet"))
        if job_key := tags.get(JOB):
            found.append(
                Leftover(
                    cloud="aws",
                    kind=kind,
                    id=row[id_],
                    region=region,
                    zone=row.get("AvailabilityZone") or row.get("LaunchedAvailabilityZone"),
                    job_key=job_key,
                    created_at=row.get("CreateTime") or row.get("CreatedDate"),
                    deadline=deadline_in(tags),
                )
            )
    return found
