"""EC2 spot instances: launch, find by tag, state and termination (EC2 API 2016-11-15)."""

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

MOST_LAUNCHES = 3  #: calls for one machine if the answer is lost
PROFILE_S = 60.0  #: how long a new instance profile may be unknown to EC2
PROFILE_PAUSE_S = 2.0
GONE_WITHIN_S = 240.0  #: how long `terminate` waits
_BILLING = ["pending", "running", "stopping", "stopped"]


class Machines:
    """The instances of an account; their tags hold everything that is known about them.

    recent: cache shared by the launches of one placement.
    """

    def __init__(self, clients: Clients, setup: Setup, recent: Recent | None = None) -> None:
        self._clients = clients
        self._setup = setup
        self._recent = Recent() if recent is None else recent

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start the attempt's machines, or return those that an earlier call with these arguments has started.

        One RunInstances starts all of them: they share tags and user data, and a node's index is its launch index. The
        job's secret is written last, when everything else is in order. It belongs to the job, so after a refusal it
        stays for the next offer. Raises a LaunchRefused.
        """
        check_count(brief, count)
        if offer.zone is None:
            raise Misconfigured(f"aws {offer.region}: an offer without a zone; read the market again")
        image, subnet = self._image(offer), self._subnet(offer.region, offer.zone)
        wanted = launch_parameters(offer, brief, image, subnet, self._setup, self._user_data(brief))
        secret = ("secret", brief.brief.job_key, brief.secret_digest)
        with of_all_regions():
            self._recent.get(secret, lambda: write_secret(self._clients, brief))
        rows = self._run_with_profile(offer, wanted)
        machines = []
        for row in rows:
            # If an earlier call launched it, its tags hold the parameters of that call.
            tags = tag_dict(row.get("Tags") or wanted["TagSpecifications"][0]["Tags"])
            machine = _machine(offer.region, row, tags)
            assert machine is not None  # the parameters hold its job's tag
            machines.append(machine)
        if len(rows) < count or any(row["State"]["Name"] not in ("pending", "running") for row in rows):
            lost = Capacity(f"aws {offer.zone}: a machine of this attempt was interrupted right after its launch")
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
        """Return the instances' rows. Waits for an instance profile that was just created: EC2 takes about a minute to
        see it (IAM User Guide, changes are eventually consistent)."""
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
        """Add the quota of the type's class to a refusal for too many vCPUs, and its limit if it can be read."""
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
        """False only if IAM reports that the profile does not exist."""
        name = self._setup.instance_profile
        try:
            self._clients.call("iam", self._clients.home, "get_instance_profile", InstanceProfileName=name)
        except LaunchRefused as refused:
            return code_behind(refused) != "NoSuchEntity"
        return True

    def _run(self, region: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the instances' rows. After a lost answer, repeat the call with the same token: same instances."""
        lost = Lost(f"aws {region}: RunInstances: an answer without an instance")
        for pause in pauses(first_s=0.3, most=MOST_LAUNCHES):
            try:
                rows = self._clients.call("ec2", region, "run_instances", once=True, **wanted).get("Instances")
                if rows:
                    return list(rows)
            except Lost as error:
                lost = error
            except Misconfigured as refused:
                # A parameter may have changed since, e.g. the newest image: then find the instance by its token.
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
        """Search every region of the account, including those that the block's market leaves out. Raises a
        LaunchRefused if a region does not answer, since a machine that bills must not be missed."""
        ours = {"Name": "tag-key", "Values": [JOB]} if job_key is None else {"Name": f"tag:{JOB}", "Values": [job_key]}
        filters = [ours, {"Name": "instance-state-name", "Values": _BILLING}]
        found = in_all_regions(self._clients, lambda region: self._rows(region, filters))
        machines = [_machine(region, row, tag_dict(row.get("Tags"))) for region, rows in found.items() for row in rows]
        return sorted(
            (machine for machine in machines if machine is not None and job_key in (None, machine.job_key)),
            key=lambda machine: (machine.job_key, machine.attempt, machine.node),
        )

    def state(self, machine: Machine) -> MachineState:
        """See `Cloud.state`; EC2 lists a terminated instance for about an hour. Raises a LaunchRefused."""
        row = self._row(machine)
        return state_of_unlisted(machine) if row is None else state_of(row)

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        """See `Cloud.prices_held`."""
        return prices_held(self._clients, machine, self._row(machine), until)

    def billed_until(self, machine: Machine) -> datetime | None:
        """See `Cloud.billed_until`; EC2 lists a terminated instance for about an hour."""
        return billed_until(self._clients, machine, self._row(machine))

    def _row(self, machine: Machine) -> dict[str, Any] | None:
        # With a filter, which returns nothing for an unknown id, whereas InstanceIds fails.
        rows = self._rows(machine.region, [{"Name": "instance-id", "Values": [machine.id]}])
        return rows[0] if rows else None

    def terminate(self, machine: Machine) -> None:
        """Terminate it with its disk, interface, address and spot request. Returns when it no longer runs.

        The job's secret stays for the next attempt. Raises a LaunchRefused, `Throttled` if it is still shutting
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
        """Terminate it; return whether EC2 knows it. Terminating it twice is not an error."""
        try:
            self._clients.call("ec2", machine.region, "terminate_instances", InstanceIds=[machine.id])
        except LaunchRefused as refused:
            if code_behind(refused) != "InvalidInstanceID.NotFound":
                raise
            return False
        return True


def state_of(row: dict[str, Any]) -> MachineState:
    """Return the state from a row of DescribeInstances. Codes `Server.*` are caused by the cloud, `Client.*` by the
    owner or the machine (EC2 API, StateReason)."""
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
    """Yield a sleep function per attempt, each twice as long; at most `most`, and none after `within_s`."""
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
