from __future__ import annotations

import base64
from pathlib import Path

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.errors import Misconfigured, Unfit
from spotwave.blocks.models import MachineState
from spotwave.blocks.tags import DISK, JOB, tags_of
from tests.blocks.machine_kit import CLOUD_HEAD, brief, until
from tests.emulators.azure import AzureEmulator, fault, instead, refused
from tests.emulators.azure_account import CLIENT_ID, IDENTITY
from tests.emulators.azure_kit import block, emulated, offer
from tests.emulators.server import Fault, garbage


def test_one_request_creates_everything_and_everything_is_deleted_with_the_machine(azure: AzureEmulator) -> None:
    told = brief()
    block(azure).launch(offer(), told)
    (vm,) = azure.arm.puts
    properties = vm["properties"]
    assert (vm["location"], vm["zones"]) == ("eastus", ["1"])
    assert vm["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    assert (properties["priority"], properties["evictionPolicy"]) == ("Spot", "Delete")
    assert properties["billingProfile"] == {"maxPrice": -1}
    assert properties["hardwareProfile"] == {"vmSize": "Standard_D2s_v5"}
    disk = properties["storageProfile"]["osDisk"]
    assert (disk["deleteOption"], disk["createOption"], disk["diskSizeGB"]) == ("Delete", "FromImage", 30)
    (nic,) = properties["networkProfile"]["networkInterfaceConfigurations"]
    (ip,) = nic["properties"]["ipConfigurations"]
    address = ip["properties"]["publicIPAddressConfiguration"]
    assert nic["properties"]["deleteOption"] == address["properties"]["deleteOption"] == "Delete"
    assert address["sku"] == {"name": "Standard"}
    assert ip["properties"]["subnet"]["id"].endswith("/virtualNetworks/spotwave-eastus/subnets/default")
    assert nic["tags"] == address["tags"] == tags_of(told) | {DISK: "30"}
    assert vm["tags"].items() >= nic["tags"].items()
    linux = properties["osProfile"]["linuxConfiguration"]
    assert linux["disablePasswordAuthentication"] is True
    assert linux["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")


def test_the_machine_knows_its_identity_and_where_resource_manager_is(azure: AzureEmulator) -> None:
    block(azure).launch(offer(), brief())
    user_data = base64.b64decode(azure.arm.puts[0]["properties"]["osProfile"]["customData"]).decode()
    for name, value in {"SPOTWAVE_API_AT": azure.url, "SPOTWAVE_IDENTITY": CLIENT_ID}.items():
        assert f"export {name}={value}\n" in user_data


@pytest.mark.parametrize(
    ("size", "architecture", "sku"),
    [("Standard_D2s_v5", "x86_64", "server"), ("Standard_D4ps_v5", "arm64", "server-arm64")],
)
def test_the_image_is_of_the_architecture(azure: AzureEmulator, size: str, architecture: str, sku: str) -> None:
    block(azure).launch(offer(size, architecture=architecture), brief())  # type: ignore[arg-type]
    image = azure.arm.puts[0]["properties"]["storageProfile"]["imageReference"]
    assert image == {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": sku, "version": "latest"}


def test_an_image_and_a_network_of_ones_own(azure: AzureEmulator) -> None:
    group = f"/subscriptions/{'0' * 8}-0000-0000-0000-000000000001/resourceGroups/mine/providers"
    image = f"{group}/Microsoft.Compute/galleries/g/images/baked/versions/1.0.0"
    network = f"{group}/Microsoft.Network/virtualNetworks/net-{{region}}/subnets/jobs"
    azure.settings.subnets.add(network.replace("{region}", "eastus").lower())
    cloud = AzureCloud(**{**dict(block(azure)), "image": image, "network": network})
    cloud.launch(offer(), brief())
    properties = azure.arm.puts[0]["properties"]
    assert properties["storageProfile"]["imageReference"] == {"id": image}
    (nic,) = properties["networkProfile"]["networkInterfaceConfigurations"]
    assert nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] == network.replace(
        "{region}", "eastus"
    )
    assert azure.count("virtualNetworks.put") == 0
    with pytest.raises(Unfit, match="arm64"):
        cloud.launch(offer("Standard_D4ps_v5", architecture="arm64"), brief(attempt=2))


def test_a_regional_offer_names_no_zone(azure: AzureEmulator) -> None:
    [machine] = block(azure).launch(offer(zone=None, region="brazilsouth"), brief())
    assert "zones" not in azure.arm.puts[0]
    assert (machine.region, machine.zone) == ("brazilsouth", None)


def test_a_network_is_made_once_for_a_region(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief())
    cloud.launch(offer(), brief(attempt=2))
    cloud.launch(offer(zone=None, region="brazilsouth"), brief(attempt=3))
    assert azure.count("virtualNetworks.put") == 2


def test_a_machines_own_vcpus_are_no_reason_to_refuse_its_launch_again(azure: AzureEmulator) -> None:
    cloud, told = block(azure), brief()
    [first] = cloud.launch(offer(), told)
    azure.settings.spot_vcpus["eastus"] = 2
    assert cloud.launch(offer(), told)[0] == first
    assert len(azure.arm.puts) == azure.count("virtualMachines.put") == 1


@pytest.mark.parametrize(
    "fault_", [instead("operations.get", refused(404, "NotFound")), fault("operations.get", garbage())]
)
def test_a_launch_that_cannot_be_watched_is_adopted(azure: AzureEmulator, fault_: Fault) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief())  # makes the network
    azure.fail(fault_)
    [machine] = cloud.launch(offer(), brief(attempt=2))
    assert list(azure.resources.vms)[1:] == [machine.id]


def test_a_machine_that_is_not_known_everywhere_yet_is_waited_for(azure: AzureEmulator) -> None:
    unknown = instead("virtualMachines.get", refused(404, "ResourceNotFound"), times=3)
    unknown.meets = lambda request: (
        bool(azure.arm.puts) and "/virtualMachines/" in request.path and request.method == "GET"
    )
    azure.fail(unknown)
    [machine] = block(azure).launch(offer(), brief())
    assert unknown.times == 0
    assert list(azure.resources.vms) == [machine.id]


def test_a_machine_of_the_same_name_that_is_not_ours_is_left_alone(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    del azure.resources.vms[machine.id].tags[JOB]
    with pytest.raises(Misconfigured, match="not ours"):
        cloud.launch(offer(), brief())
    assert cloud.find() == []
    assert machine.id in azure.resources.vms


def test_termination_takes_along_what_was_only_detached(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user = False
    cloud.terminate(machine)
    assert azure.left() == ["secret"]


def test_an_interface_that_azure_still_holds_is_tried_again(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user = False
    azure.fail(instead("networkInterfaces.delete", refused(409, "NicReservedForAnotherVm"), times=1))
    cloud.terminate(machine)
    assert azure.left() == ["secret"]


def test_without_an_account_there_is_nothing_to_launch_and_nothing_to_find() -> None:
    cloud = AzureCloud()
    with pytest.raises(Misconfigured, match=r"credentials: .* Azure Compute Credentials"):
        cloud.launch(offer(), brief())
    assert cloud.find() == []
    assert cloud.leftovers() == []
    assert [finding.ok for finding in cloud.check()] == [False]
    assert not cloud.is_local


def test_a_machine_that_may_not_delete_itself_at_least_stops_billing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with emulated(monkeypatch, AzureEmulator(folder=tmp_path)) as azure:
        azure.fail(instead("virtualMachines.delete", refused(403, "AuthorizationFailed")))
        ends = CLOUD_HEAD + 'python3 -c "import cloud; cloud.PAUSES_S = (); cloud.end()"\n'
        [machine] = block(azure).machines(ends).launch(offer(), brief())
        until(lambda: azure.left() == ["disk", "ip", "nic", "secret"])
        azure.heal()
        cloud = block(azure)
        until(lambda: cloud.state(machine) is MachineState.INTERRUPTED)
        assert cloud.find() == [machine]
        cloud.terminate(machine)
        assert azure.left() == ["secret"]
        assert not azure.computers[machine.id].alive
