"""Compute Engine spot VMs: launch, find by label, state and deletion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import Conflict, NotFound

from spotwave.blocks.all_or_none import check_count
from spotwave.blocks.errors import LaunchRefused, Throttled, Unclear, Unfit, of_all_regions
from spotwave.blocks.gcp import all_zones, secrets
from spotwave.blocks.gcp.clients import FAILURES, Clients, in_doubt, is_lost
from spotwave.blocks.gcp.images import image_of
from spotwave.blocks.gcp.instance import Setup, bulk_of, instance_of, name_of, token_of
from spotwave.blocks.gcp.operations import DELETED, PREEMPTED, ended_at, endings_of, finished, is_done
from spotwave.blocks.gcp.refusals import EXISTS, GONE, OverQuota, codes_in, refusal, refusal_in, refusing
from spotwave.blocks.models import LaunchBrief, Machine, MachineState, Offer
from spotwave.blocks.recent_answers import Recent
from spotwave.blocks.tags import ATTEMPT, JOB, OFFER, machine_from, packed, tags_of
from spotwave.blocks.unlisted_machine import state_of_unlisted
from spotwave.blocks.user_data import of_cloud
from spotwave.node.identity import node_of

CREATED_S = 300.0  #: a stockout is reported within seconds, bare metal takes minutes to create
DELETED_S = 180.0  #: after this time the deletion is certainly in progress
PATIENCE_S = 30.0  #: time limit of one call including retries

_STATES = {
    "PROVISIONING": MachineState.PENDING,
    "STAGING": MachineState.PENDING,
    "PENDING": MachineState.PENDING,
    # After a preemption notice the machine still saves its data, so it does not count as lost yet.
    "STOPPING": MachineState.STOPPING,
    "PENDING_STOP": MachineState.STOPPING,
    "SUSPENDING": MachineState.STOPPING,
    "DEPROVISIONING": MachineState.STOPPING,
}
_DOWN = ("TERMINATED", "STOPPED", "SUSPENDED")  # vCPUs no longer bill, the disk does


class Machines:
    """A project's VMs; `template` replaces node/boot/bootstrap.sh; recent: cache shared by launches of a placement."""

    def __init__(
        self,
        clients: Clients,
        setup: Setup,
        template: str | None = None,
        patience_s: float = PATIENCE_S,
        recent: Recent | None = None,
    ) -> None:
        self._clients = clients
        self._setup = setup
        self._template = template
        self._patience_s = patience_s
        recent = Recent() if recent is None else recent
        self._secrets = secrets.Secrets(clients, setup.secret_locations, recent, patience_s)

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start the attempt's machines, or return those that were started for this job, attempt and offer.

        Several machines are one bulkInsert: they share labels and user data, and a node's index is in its name. A
        request with a lost answer is repeated with the same token. Raises a LaunchRefused; then nothing bills.
        """
        check_count(brief, count)
        try:
            return self._launched(offer, brief)
        except OverQuota as refused:
            raise refused.of_type(offer.instance_type) from None

    def _launched(self, offer: Offer, brief: LaunchBrief) -> list[Machine]:
        if offer.zone is None:
            raise Unfit(f"{offer.label}: the offer has no zone")
        image_of(self._setup.image, self._setup.image_arm64, offer.architecture)  # raises before a secret is written
        with of_all_regions(), refusing():
            secret = self._secrets.write(brief, offer.region)
        body = instance_of(self._setup, offer, offer.zone, brief, self._user_data(brief, secret))
        names = [name_of(offer, brief.of_node(node)) for node in range(brief.brief.nodes)]
        try:
            operation = self._insert(offer.zone, body, names, token_of(offer, brief))
        except Conflict:
            return self._adopted(offer.zone, brief, names)
        except FAILURES as error:
            refused = refusal(error)
            raise self._undone(offer.zone, names, refused) if in_doubt(error) else refused from None
        try:
            operation = finished(self._clients, offer.zone, operation, CREATED_S)
        except FAILURES as error:
            raise self._undone(offer.zone, names, refusal(error)) from None
        if codes_in(operation) & EXISTS:
            return self._adopted(offer.zone, brief, names)
        if not is_done(operation):
            raise self._undone(offer.zone, names, Unclear(f"not created within {CREATED_S:.0f} s"))
        if (failed := refusal_in(operation)) is not None:
            raise self._undone(offer.zone, names, failed)
        launched_at = _time(operation.end_time or operation.insert_time)  # it runs and bills once this is done
        found = [
            machine_from(
                tags_of(brief),
                packed(offer),
                cloud=offer.cloud,
                id_=name,
                region=offer.region,
                zone=offer.zone,
                launched_at=launched_at,
                node=node_of(name),
            )
            for name in names
        ]
        return [machine for machine in found if machine is not None]  # all of them: the labels hold the job's key

    def find(self, job_key: str | None = None) -> list[Machine]:
        """Search all zones by label; includes stopped VMs, since their disks bill. Raises a LaunchRefused."""
        with refusing():
            found = all_zones.our_instances(self._clients, "instances", job_key, self._patience_s)
            machines = [machine for zone, instance in found if (machine := _machine(instance, zone)) is not None]
        return sorted(machines, key=lambda machine: (machine.job_key, machine.attempt, machine.node, machine.id))

    def state(self, machine: Machine) -> MachineState:
        """Return the state; for a deleted instance, the zone's log has preemptions. Raises a LaunchRefused."""
        with refusing():
            try:
                status = str(self._get(str(machine.zone), machine.id).status)
            except NotFound:
                return self._of_the_unseen(machine)
            if status not in _DOWN:
                return _STATES.get(status, MachineState.RUNNING)
            if PREEMPTED in endings_of(self._clients, machine, self._patience_s):
                return MachineState.INTERRUPTED
            return MachineState.STOPPING  # it shut itself down: its disk still has to be deleted

    def terminate(self, machine: Machine) -> None:
        """Delete the instance with its boot disk and its address. Raises a LaunchRefused."""
        with refusing():
            self._delete(str(machine.zone), machine.id)

    def billed_until(self, machine: Machine) -> datetime | None:
        """See `Cloud.billed_until`."""
        with refusing():
            return ended_at(self._clients, machine, self._patience_s)

    def _user_data(self, brief: LaunchBrief, secret: str) -> str:
        endpoints = self._clients.endpoints
        settings = {
            "SPOTWAVE_SECRET": secret,
            "SPOTWAVE_SECRET_AT": endpoints.secrets,
            "SPOTWAVE_PROJECT": self._clients.project,
            "SPOTWAVE_API_AT": endpoints.compute,
        }
        return of_cloud("gcp", brief.brief, settings, self._template).decode()

    def _insert(self, zone: str, body: Any, names: list[str], token: str) -> Any:
        """Start the insert and return its operation. Raises FAILURES."""
        from google.cloud import compute_v1 as sdk

        call = Clients.call(self._patience_s, is_lost)
        asked = {"project": self._clients.project, "zone": zone, "request_id": token}
        if len(names) == 1:
            return self._clients.instances.insert_unary(
                sdk.InsertInstanceRequest(instance_resource=body, **asked), **call
            )
        bulk = sdk.BulkInsertInstanceRequest(bulk_insert_instance_resource_resource=bulk_of(body, names), **asked)
        return self._clients.instances.bulk_insert_unary(bulk, **call)

    def _adopted(self, zone: str, brief: LaunchBrief, names: list[str]) -> list[Machine]:
        """Return the machines that already have these names, if all of them exist and belong to this attempt."""
        found: list[Machine] = []
        refused: Unclear | None = None
        for name in names:
            try:
                found.append(self._existing(zone, brief, name))
            except Unclear as error:
                refused = error
        if refused is not None:
            raise self._undone(zone, [machine.id for machine in found], refused)
        return found

    def _existing(self, zone: str, brief: LaunchBrief, name: str) -> Machine:
        with refusing():
            try:
                instance = self._get(zone, name)
            except NotFound:
                raise Unclear(f"alreadyExists: {name} exists, but cannot be found") from None
        tags = tags_of(brief)
        machine = _machine(instance, zone)
        if machine is None or any(instance.labels.get(key) != tags[key] for key in (JOB, ATTEMPT)):
            raise Unclear(f"alreadyExists: {name} belongs to another owner")
        return machine

    def _undone(self, zone: str, names: list[str], refused: LaunchRefused) -> LaunchRefused:
        """Delete the remains of a failed launch, so that nothing bills, and return the error to raise. If a deletion
        fails too, that is Throttled, so that the same token is tried again and finds the machine. If the deletions
        succeed after a lost answer, it is Throttled with `repeated`: no retry of the token, and the region is left."""
        for name in names:
            try:
                self._delete(zone, name)
            except (*FAILURES, LaunchRefused):
                return Throttled(f"{refused.reason}; {name} may be running in {zone}")
        if isinstance(refused, Throttled):
            message = f"{refused.reason}, also after retries; anything that was created is deleted"
            return Throttled(message, repeated=True)
        return refused

    def _of_the_unseen(self, machine: Machine) -> MachineState:
        endings = endings_of(self._clients, machine, self._patience_s)
        if PREEMPTED in endings:
            return MachineState.INTERRUPTED
        return MachineState.GONE if DELETED in endings else state_of_unlisted(machine)

    def _get(self, zone: str, name: str) -> Any:
        return self._clients.instances.get(
            project=self._clients.project, zone=zone, instance=name, **Clients.call(self._patience_s)
        )

    def _delete(self, zone: str, name: str) -> None:
        """Delete the instance and wait. Raises FAILURES, or a LaunchRefused if the operation fails."""
        try:
            operation = self._clients.instances.delete_unary(
                project=self._clients.project, zone=zone, instance=name, **Clients.call(self._patience_s)
            )
        except NotFound:
            return
        operation = finished(self._clients, zone, operation, DELETED_S)
        if (refused := refusal_in(operation)) is not None and not codes_in(operation) & GONE:
            raise refused


def _machine(instance: Any, zone: str) -> Machine | None:
    metadata = {item.key: item.value for item in instance.metadata.items}
    return machine_from(
        instance.labels,
        metadata.get(OFFER, ""),
        cloud="gcp",
        id_=instance.name,
        region=zone.rpartition("-")[0],
        zone=zone,
        launched_at=_time(instance.last_start_timestamp or instance.creation_timestamp),
        node=node_of(instance.name),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.now(UTC)
