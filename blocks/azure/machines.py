"""Machines on Azure: one PUT creates everything, the name is the idempotency token, and one DELETE removes everything.

Source: Azure Compute REST API, Virtual Machines (Create Or Update, Get, List All, Delete).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError

from spotwave.blocks.all_or_none import check_count, launch_each
from spotwave.blocks.azure.account import Account, client_id, subnet_for
from spotwave.blocks.azure.changes import deleted_at
from spotwave.blocks.azure.clients import POLL_S, Clients
from spotwave.blocks.azure.leftovers import Parts
from spotwave.blocks.azure.quotas import SPOT_QUOTA, quotas_of
from spotwave.blocks.azure.refusals import UnknownIdentity, asked, code_of, of_code, refusal, status_of
from spotwave.blocks.azure.resource_ids import resource_id, vm_name
from spotwave.blocks.azure.secrets import Vault, secret_name
from spotwave.blocks.azure.vm_request import Place, body
from spotwave.blocks.errors import (
    LaunchRefused,
    Misconfigured,
    Quota,
    Throttled,
    Unclear,
    Unfit,
    of_all_regions,
)
from spotwave.blocks.models import LaunchBrief, Machine, MachineState, Offer
from spotwave.blocks.recent_answers import Recent
from spotwave.blocks.tags import JOB, machine_from, offer_in
from spotwave.blocks.unlisted_machine import state_of_unlisted
from spotwave.blocks.user_data import of_cloud

if TYPE_CHECKING:
    from azure.mgmt.compute.models import VirtualMachine

CREATE_S = 600.0  # time limit for the result of a creation; until then the machine is pending
IDENTITY_PAUSES_S = (4.0, 8.0, 16.0, 32.0)  # a new identity may be unknown for about a minute
_DELETE_S = 300.0
_KNOWN_S = 10.0  # by then every replica of Resource Manager lists a machine whose PUT was accepted

_STATES = {
    "starting": MachineState.PENDING,
    "running": MachineState.RUNNING,
    "stopping": MachineState.STOPPING,
    # Shut down from inside: it still occupies its host and bills for it. It is never started again.
    "stopped": MachineState.STOPPING,
    "deallocating": MachineState.STOPPING,
    # Evicted under another policy than Spotwave's, or stopped by a machine that may not delete itself.
    "deallocated": MachineState.INTERRUPTED,
}


class Machines:
    """Machines of an account; `template` replaces node/boot/bootstrap.sh; recent: cache shared by launches."""

    def __init__(
        self, clients: Clients, account: Account, template: str | None = None, recent: Recent | None = None
    ) -> None:
        self._clients = clients
        self._account = account
        self._template = template
        self._recent = Recent() if recent is None else recent
        self._group = account.resource_group
        self._parts = Parts(clients, account.resource_group)
        self._vault = Vault(clients)

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """See `Cloud.launch`. The name of the VM is the token: a repeated PUT finds what the first one created.

        Each machine is a PUT of its own. Waits for an identity that was just created: Resource Manager takes about a
        minute to see it.
        """
        check_count(brief, count)
        if count > 1:
            with asked("the launch"):
                if self._get(vm_name(brief, offer)) is None:
                    self._check_quota(offer, count)
        return launch_each(partial(self._launch, offer), self.terminate, brief)

    def _launch(self, offer: Offer, brief: LaunchBrief) -> Machine:
        for pause_s in IDENTITY_PAUSES_S:
            try:
                return self._launched(offer, brief)
            except UnknownIdentity:
                time.sleep(pause_s)  # there is no event for this
        return self._launched(offer, brief)

    def _launched(self, offer: Offer, brief: LaunchBrief) -> Machine:
        name, image = vm_name(brief, offer), self._account.images.get(offer.architecture)
        if image is None:
            raise Unfit(f"image: the block has its own images, but none for {offer.architecture}")
        with asked("the launch"):
            there = self._get(name)
        secret = ("secret", self._account.vault_url, brief.brief.job_key, brief.secret_digest)
        with of_all_regions():
            self._recent.get(secret, lambda: self._vault.write(brief))
        if there is not None:
            return self._adopted(name, brief)
        with asked("the launch"):
            self._check_quota(offer)
            place = Place(
                subnet=self._subnet(offer.region),
                identity=self._account.identity,
                image=image,
            )
            asked_for: Any = body(offer, brief, place, self._user_data(brief))
        try:
            poller = self._clients.compute.virtual_machines.begin_create_or_update(
                self._group,
                name,
                asked_for,
                match_condition=MatchConditions.IfMissing,
            )
        except AzureError as error:
            return self._adopted(name, brief, refused=refusal(error, "the launch"))
        try:
            poller.wait(CREATE_S)
        except AzureError as error:
            if status_of(error) == 200 and code_of(error):  # the operation failed; otherwise only the polling
                raise self._withdrawn(name, refusal(error, "the launch")) from error
        return self._adopted(name, brief, accepted=True)

    def find(self, job_key: str | None = None) -> list[Machine]:
        """See `Cloud.find`. Uses List All instead of Resource Graph, which lags by up to minutes."""
        with asked("listing the machines"):
            found = [self._machine(vm) for vm in self._clients.compute.virtual_machines.list_all()]
        machines = [one for one in found if one is not None and job_key in (None, one.job_key)]
        return sorted(machines, key=lambda machine: (machine.job_key, machine.attempt, machine.node))

    def state(self, machine: Machine) -> MachineState:
        """See `Cloud.state`. An evicted machine is deleted by its policy, as is one that deletes itself, and Azure
        reports no reason: both count as gone, and the result on the remote tells them apart. Neither leaves a record
        that is readable at once, so a machine that is not found is only gone if it is old enough to be listed."""
        its = resource_id(machine.id)
        with asked("reading the state"):
            vm = self._get(its.name, its.group)
        return state_of_unlisted(machine) if vm is None else _state(vm)

    def terminate(self, machine: Machine) -> None:
        """See `Cloud.terminate`."""
        its = resource_id(machine.id)
        self._remove(its.group, its.name)

    def billed_until(self, machine: Machine) -> datetime | None:
        """See `Cloud.billed_until`: when it was deleted, by any caller; known some minutes later. Raises a
        LaunchRefused."""
        return deleted_at(self._clients, machine)

    def _check_quota(self, offer: Offer, machines: int = 1) -> None:
        """Raises Quota if there is no room for so many."""
        for row in self._clients.compute.usage.list(offer.region):
            if row.name is not None and row.name.value == SPOT_QUOTA:
                left = row.limit - row.current_value
                if left < machines * quotas_of(offer)[SPOT_QUOTA]:
                    said = f"quota of spot vCPUs in {offer.region}: {left} of {row.limit} left"
                    raise Quota(said, "region", SPOT_QUOTA, max(0.0, left))

    def _user_data(self, brief: LaunchBrief) -> bytes:
        settings = {
            "SPOTWAVE_SECRET": secret_name(brief.brief.job_key),
            "SPOTWAVE_SECRET_AT": self._account.vault_url,
            "SPOTWAVE_API_AT": self._account.endpoint,
            "SPOTWAVE_IDENTITY": self._client_id(),
        }
        return of_cloud("azure", brief.brief, settings, self._template)

    def _subnet(self, region: str) -> str:
        key = ("subnet", self._account.resource_group, self._account.network, region)
        return self._recent.get(key, lambda: subnet_for(self._clients, self._account, region))

    def _client_id(self) -> str:
        key = ("identity", self._account.identity)
        return self._recent.get(key, lambda: client_id(self._clients, self._account))

    def _get(self, name: str, group: str | None = None) -> VirtualMachine | None:
        """Return the VM with its instance view, None if missing. Raises the SDK's errors."""
        try:
            return self._clients.compute.virtual_machines.get(group or self._group, name, expand="instanceView")
        except ResourceNotFoundError as error:
            if error.error is not None and error.error.code == "ResourceGroupNotFound" and group is None:
                raise
            return None

    def _adopted(
        self, name: str, brief: LaunchBrief, *, refused: LaunchRefused | None = None, accepted: bool = False
    ) -> Machine:
        """Return the machine of that name once Azure has created it; also finds it after a lost answer.

        refused: raised if there is no machine; accepted: the PUT was accepted, so the machine must appear shortly.
        """
        begun = time.monotonic()
        while True:
            try:
                vm = self._get(name)
            except AzureError as error:
                told = refused if isinstance(refused, Throttled) else refusal(error, "the launch")
                if isinstance(
                    told, Throttled
                ):  # there may be a machine: with the same name the next launch gets here again
                    told.repeated = False
                raise told from error
            if vm is None:
                if accepted and time.monotonic() - begun < _KNOWN_S:
                    time.sleep(POLL_S)
                    continue
                if refused is not None:
                    raise refused
                raise self._withdrawn(name, Unclear("the launch failed: the machine disappeared during its creation"))
            machine = self._machine(vm)
            if machine is None or machine.name != brief.brief.name:
                raise Misconfigured(f"the launch failed: {name} in {self._group} was not created by Spotwave")
            state = vm.properties.provisioning_state if vm.properties is not None else None
            if state in ("Failed", "Canceled"):
                raise self._withdrawn(name, _why(vm))
            if state == "Deleting":
                raise Throttled(f"the launch failed: an earlier {name} is still being deleted", 10.0)
            if state not in ("Creating", "Updating") or time.monotonic() - begun > CREATE_S:
                return machine
            time.sleep(POLL_S)  # the operation cannot be polled: its address was in the lost answer

    def _withdrawn(self, name: str, refused: LaunchRefused) -> LaunchRefused:
        """Delete the remains of a failed creation (machine, interface, address, disk) and return the refusal."""
        try:
            self._remove(self._group, name)
        except LaunchRefused as error:
            refused.add_note(f"not all of {name} could be deleted: {error}")
        return refused

    def _remove(self, group: str, name: str) -> None:
        with asked("the termination"):
            try:
                poller = self._clients.compute.virtual_machines.begin_delete(group, name, force_deletion=True)
                poller.wait(_DELETE_S)
            except ResourceNotFoundError:
                pass
        self._parts.sweep(group, name)

    def _machine(self, vm: VirtualMachine) -> Machine | None:
        tags = dict(vm.tags or {})
        if JOB not in tags:
            return None
        region = str(vm.location)
        born = vm.properties.time_created if vm.properties is not None else None
        return machine_from(
            tags,
            offer_in(tags),
            cloud="azure",
            id_=str(resource_id(str(vm.id))),
            region=region,
            zone=f"{region}-{vm.zones[0]}" if vm.zones else None,
            launched_at=born.astimezone(UTC) if born else datetime.now(UTC),
        )


def _codes(vm: VirtualMachine) -> list[str]:
    view = vm.properties.instance_view if vm.properties is not None else None
    return [status.code or "" for status in (view.statuses or [] if view is not None else [])]


def _state(vm: VirtualMachine) -> MachineState:
    provisioning = vm.properties.provisioning_state if vm.properties is not None else None
    if provisioning == "Deleting":
        return MachineState.STOPPING
    power = next((code.partition("/")[2] for code in _codes(vm) if code.startswith("PowerState/")), "")
    if power in _STATES:
        return _STATES[power]
    return MachineState.STOPPING if provisioning in ("Failed", "Canceled") else MachineState.PENDING


def _why(vm: VirtualMachine) -> LaunchRefused:
    """Return the refusal for a failed creation; its instance view has the code: ProvisioningState/failed/<code>."""
    codes = [code.split("/") for code in _codes(vm)]
    code = next((parts[2] for parts in codes if len(parts) == 3 and parts[0] == "ProvisioningState"), "")
    return of_code(200, code, "", "the launch")
