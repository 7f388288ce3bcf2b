"""EC2 spot instances: launched one at a time, found by tag, watched, ended (EC2 API 2016-11-15)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from spotwave.blocks.all_or_none import check_count, undo
from spotwave.blocks.aws.all_regions import in_all_regions
from spotwave.blocks.aws.billing import billed_until, prices_held
from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.images import Image, image_for
from spotwave.blocks.aws.launch_parameters import launch_parameters
from spotwave.blocks.aws.network import subnet_for, subnets_of
from spotwave.blocks.aws.quotas import SPOT_QUOTAS, spot_class
from spotwave.blocks.aws.refusals import VCPUS, Lost, UnknownProfile, code_behind
from spotwave.blocks.aws.secrets import write_secret
from spotwave.blocks.aws.setup import Setup, secret_name, tag_dict
from spotwave.blocks.errors import Capacity, LaunchRefused, Misconfigured, Quota, Throttled, of_all_regions
from spotwave.blocks.models import LaunchBrief, Machine, MachineState, Offer
from spotwave.blocks.recent_answers import Recent
from spotwave.blocks.tags import JOB, machine_from, offer_in
from spotwave.blocks.unlisted_machine import state_of_unlisted
from spotwave.blocks.user_data import of_cloud

MOST_LAUNCHES = 3  #: calls for one machine, where the answer is lost
PROFILE_S = 60.0  #: how long an instance profile may be unknown to EC2
PROFILE_PAUSE_S = 2.0
GONE_WITHIN_S = 240.0  #: how long `terminate` waits
_BILLING = ["pending", "running", "stopping", "stopped"]


class Machines:
    """The instances of an account; all that is known of them stands in their tags.

    recent: what other launches of a walk have found out and written already.
    """

    def __init__(self, clients: Clients, setup: Setup, recent: Recent | None = None) -> None:
        self._clients = clients
        self._setup = setup
        self._recent = Recent() if recent is None else recent

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start the attempt's machines, or find those that an earlier call with these arguments has started.

        One RunInstances for all: they carry the same tags and user data, and a node's index is its launch index. The
        job's secret is written when all else is known to be in order; it belongs to the job, so a refusal leaves
        it for the next offer. Raises a LaunchRefused.
        """
        check_count(brief, count)
        if offer.zone is None:
            raise Misconfigured(f"aws {offer.region}: an offer without a zone; read the market anew")
        image, subnet = self._image(offer), self._subnet(offer.region, offer.zone)
        wanted = launch_parameters(offer, brief, image, subnet, self._setup, self._user_data(brief))
        secret = ("secret", brief.brief.job_key, brief.secret_digest)
        with of_all_regions():
            self._recent.get(secret, lambda: write_secret(self._clients, brief))
        rows = self._run_with_profile(offer, wanted)
        machines = []
        for row in rows:
            # What an earlier call has written is what it was launched with.
            tags = tag_dict(row.get("Tags") or wanted["TagSpecifications"][0]["Tags"])
            machine = _machine(offer.region, row, tags)
            assert machine is not None  # its job's tag is among the parameters
            machines.append(machine)
        if len(rows) < count or any(row["State"]["Name"] not in ("pending", "running") for row in rows):
            lost = Capacity(f"aws {offer.zone}: a machine of this attempt was lost as soon as it was launched")
            undo(self.terminate, machines if count > 1 else [], lost)
            raise lost
        return sorted(machines, key=lambda machine: machine.node)

    def _image(self, offer: Offer) -> Image:
        wanted = (offer.region, offer.architecture, self._setup.image)
        return self._recent.get(("image", *wanted), lambda: image_for(self._clients, *wanted))

    def _subnet(self, region: str, zone: str) -> str:
        own = self._setup.subnets
        listed = self._recent.get(("subnets", region, *own), lambda: subnets_of(self._clients, region, own))
        return subnet_for(listed, region, zone, own)

    def _user_data(self, brief: LaunchBrief) -> bytes:
        home = self._clients.home
        settings = {
            "SPOTWAVE_SECRET": secret_name(brief.brief.job_key),
            "SPOTWAVE_SECRET_AT": self._clients.address("secretsmanager", home),
            "SPOTWAVE_SECRET_REGION": home,
        }
        return of_cloud("aws", brief.brief, settings, self._setup.template)

    def _run_with_profile(self, offer: Offer, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """The instances' rows. A profile that was made a moment ago is waited for: EC2 comes to know it within about a
        minute (IAM User Guide, changes are eventually consistent)."""
        for pause in pauses(first_s=PROFILE_PAUSE_S, longest_s=8.0, within_s=PROFILE_S):
            try:
                return self._run(offer.region, wanted)
            except Quota as refused:
                raise self._of_class(refused, offer) from refused.__cause__
            except UnknownProfile as refused:
                unknown = refused
                if not self._has_profile():
                    break
            pause()
        raise unknown

    def _of_class(self, refused: Quota, offer: Offer) -> Quota:
        """A refusal for too many vCPUs, of the type's class, and how many there are in all if that may be asked."""
        quota = SPOT_QUOTAS.get(spot_class(offer.instance_type))
        if code_behind(refused) not in VCPUS or quota is None:
            return refused
        asked: dict[str, Any] = {"ServiceCode": "ec2", "QuotaCode": quota.code}
        try:
            limit = float(
                self._clients.call("service-quotas", offer.region, "get_service_quota", **asked)["Quota"]["Value"]
            )
        except (LaunchRefused, LookupError, ValueError, TypeError):
            limit = None  # then the next smaller type is tried
        return Quota(f"{refused.reason}, {quota.name!r} ({quota.code})", "region", quota.name, limit)

    def _has_profile(self) -> bool:
        """False only where IAM says that there is none."""
        name = self._setup.instance_profile
        try:
            self._clients.call("iam", self._clients.home, "get_instance_profile", InstanceProfileName=name)
        except LaunchRefused as refused:
            return code_behind(refused) != "NoSuchEntity"
        return True

    def _run(self, region: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """The instances' rows. A lost answer is asked for again with the same token, and EC2 gives the same."""
        lost = Lost(f"aws {region}: RunInstances: an answer without an instance")
        for pause in pauses(first_s=0.3, most=MOST_LAUNCHES):
            try:
                rows = self._clients.call("ec2", region, "run_instances", once=True, **wanted).get("Instances")
                if rows:
                    return list(rows)
            except Lost as error:
                lost = error
            except Misconfigured as refused:
                # What the call names may have changed since, e.g. the newest image: the token knows better.
                if code_behind(refused) != "IdempotentParameterMismatch":
                    raise
                if not (made := self._made(region, wanted["ClientToken"])):
                    raise
                return made
            pause()
        if made := self._made(region, wanted["ClientToken"]):
            return made
        lost.repeated = True
        raise lost

    def _made(self, region: str, token: str) -> list[dict[str, Any]]:
        return self._rows(region, [{"Name": "client-token", "Values": [token]}])

    def _rows(self, region: str, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reservations = self._clients.listed("ec2", region, "describe_instances", "Reservations", Filters=filters)
        return [row for reservation in reservations for row in reservation["Instances"]]

    def find(self, job_key: str | None = None) -> list[Machine]:
        """In every region of the account, also those that the block's market leaves out. Raises a LaunchRefused if a
        region does not answer: what may bill must not be overlooked."""
        ours = {"Name": "tag-key", "Values": [JOB]} if job_key is None else {"Name": f"tag:{JOB}", "Values": [job_key]}
        filters = [ours, {"Name": "instance-state-name", "Values": _BILLING}]
        found = in_all_regions(self._clients, lambda region: self._rows(region, filters))
        machines = [_machine(region, row, tag_dict(row.get("Tags"))) for region, rows in found.items() for row in rows]
        return sorted(
            (machine for machine in machines if machine is not None and job_key in (None, machine.job_key)),
            key=lambda machine: (machine.job_key, machine.attempt, machine.node),
        )

    def state(self, machine: Machine) -> MachineState:
        """A terminated instance is told of for about an hour. Raises a LaunchRefused."""
        row = self._row(machine)
        return state_of_unlisted(machine) if row is None else state_of(row)

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        """See `Cloud.prices_held`."""
        return prices_held(self._clients, machine, self._row(machine), until)

    def billed_until(self, machine: Machine) -> datetime | None:
        """See `Cloud.billed_until`; a terminated instance is told of for about an hour."""
        return billed_until(self._clients, machine, self._row(machine))

    def _row(self, machine: Machine) -> dict[str, Any] | None:
        # By filter, which gives nothing for an id that is not known (yet, or any more), where InstanceIds fails.
        rows = self._rows(machine.region, [{"Name": "instance-id", "Values": [machine.id]}])
        return rows[0] if rows else None

    def terminate(self, machine: Machine) -> None:
        """End it, and with it its disk, interface, address and spot request. Returns when it runs no more.

        The job's secret stays: the next attempt needs it. Raises a LaunchRefused, `Throttled` if it is still shutting
        down after `GONE_WITHIN_S`.
        """
        known = False
        for pause in pauses(first_s=0.25, longest_s=5.0, within_s=GONE_WITHIN_S):
            known = known or self._end(machine)
            row = self._row(machine)
            if row is None:
                if not known and state_of_unlisted(machine) is MachineState.GONE:
                    return
            elif row["State"]["Name"] == "terminated":
                return
            pause()
        raise Throttled(f"aws {machine.region}: {machine.id} is still shutting down; terminate it again")

    def _end(self, machine: Machine) -> bool:
        """Whether the service knew it; to end what is ended is no error."""
        try:
            self._clients.call("ec2", machine.region, "terminate_instances", InstanceIds=[machine.id])
        except LaunchRefused as refused:
            if code_behind(refused) != "InvalidInstanceID.NotFound":
                raise
            return False
        return True


def state_of(row: dict[str, Any]) -> MachineState:
    """Of a row of DescribeInstances. Codes `Server.*` are the cloud's own doing, `Client.*` the owner's or the
    machine's (EC2 API, StateReason)."""
    name = row["State"]["Name"]
    code = (row.get("StateReason") or {}).get("Code", "")
    if name == "pending":
        return MachineState.PENDING
    if name == "running":
        return MachineState.RUNNING
    if code.startswith("Server."):
        return MachineState.INTERRUPTED
    return MachineState.GONE if name == "terminated" else MachineState.STOPPING


def pauses(
    *, first_s: float, longest_s: float = 30.0, within_s: float = math.inf, most: int | None = None
) -> Iterator[Callable[[], None]]:
    """A sleep for every try, each twice as long; no more than `most` of them, none begun after `within_s`."""
    end, pause_s, number = time.monotonic() + within_s, first_s, 0
    while time.monotonic() < end and (most is None or number < most):
        yield partial(time.sleep, min(pause_s, longest_s))
        pause_s, number = 2 * pause_s, number + 1


def _machine(region: str, row: dict[str, Any], tags: dict[str, str]) -> Machine | None:
    return machine_from(
        tags,
        offer_in(tags),
        cloud="aws",
        id_=row["InstanceId"],
        region=region,
        zone=row.get("Placement", {}).get("AvailabilityZone"),
        launched_at=row["LaunchTime"],
        node=int(row.get("AmiLaunchIndex", 0)),  # 0, 1, ... of the instances of one request
    )
