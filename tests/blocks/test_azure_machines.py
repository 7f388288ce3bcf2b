from __future__ import annotations

import base64
from pathlib import Path

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.errors import Misconfigured, Unfit
from spotwave.blocks.models import MachineState
from spotwave.blocks.tags import DISK, JOB, node_tags_of
from tests.blocks.machine_kit import CLOUD_HEAD, brief, until
from tests.emulators.azure import AzureEmulator, fault, instead, refused
from tests.emulators.azure_account import CLIENT_ID, IDENTITY
from tests.emulators.azure_kit import block, emulated, offer
from tests.emulators.server import Fault, garbage


def test_one_request_creates_everything_and_everything_is_deleted_with_the_machine(azure: AzureEmulator) -> None:
    what = brief()
    block(azure).launch(offer(), what)
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
    assert nic["tags"] == address["tags"] == node_tags_of(what) | {DISK: "30"}
    assert vm["tags"].items() >= nic["tags"].items()
    linux = properties["osProfile"]["linuxConfiguration"]
    assert linux["disablePasswordAuthentication"] is True
    assert linux["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")


def test_user_data_has_the_identity_and_the_api_endpoint(azure: AzureEmulator) -> None:
    block(azure).launch(offer(), brief())
    user_data = base64.b64decode(azure.arm.puts[0]["properties"]["osProfile"]["customData"]).decode()
    for name, value in {"SPOTWAVE_API_AT": azure.url, "SPOTWAVE_IDENTITY": CLIENT_ID}.items():
        assert f"export {name}={value}\n" in user_data


@pytest.mark.parametrize(
    ("size", "architecture", "sku"),
    [("Standard_D2s_v5", "x86_64", "server"), ("Standard_D4ps_v5", "arm64", "server-arm64")],
)
def test_image_matches_the_architecture(azure: AzureEmulator, size: str, architecture: str, sku: str) -> None:
    block(azure).launch(offer(size, architecture=architecture), brief())  # type: ignore[arg-type]
    image = azure.arm.puts[0]["properties"]["storageProfile"]["imageReference"]
    assert image == {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": sku, "version": "latest"}


def test_own_image_and_own_network(azure: AzureEmulator) -> None:
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


def test_regional_offer_sets_no_zone(azure: AzureEmulator) -> None:
    [machine] = block(azure).launch(offer(zone=None, region="brazilsouth"), brief())
    assert "zones" not in azure.arm.puts[0]
    assert (machine.region, machine.zone) == ("brazilsouth", None)


def test_network_is_created_once_per_region(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief())
    cloud.launch(offer(), brief(attempt=2))
    cloud.launch(offer(zone=None, region="brazilsouth"), brief(attempt=3))
    assert azure.count("virtualNetworks.put") == 2


def test_repeated_launch_is_not_refused_for_the_machines_own_vcpus(azure: AzureEmulator) -> None:
    cloud, what = block(azure), brief()
    [first] = cloud.launch(offer(), what)
    azure.settings.spot_vcpus["eastus"] = 2
    assert cloud.launch(offer(), what)[0] == first
    assert len(azure.arm.puts) == azure.count("virtualMachines.put") == 1


@pytest.mark.parametrize(
    "fault_", [instead("operations.get", refused(404, "NotFound")), fault("operations.get", garbage())]
)
def test_launch_that_cannot_be_polled_is_adopted(azure: AzureEmulator, fault_: Fault) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief())  # creates the network
    azure.fail(fault_)
    [machine] = cloud.launch(offer(), brief(attempt=2))
    assert list(azure.resources.vms)[1:] == [machine.id]


def test_launch_waits_until_the_machine_is_listed(azure: AzureEmulator) -> None:
    unknown = instead("virtualMachines.get", refused(404, "ResourceNotFound"), times=3)
    unknown.meets = lambda request: (
        bool(azure.arm.puts) and "/virtualMachines/" in request.path and request.method == "GET"
    )
    azure.fail(unknown)
    [machine] = block(azure).launch(offer(), brief())
    assert unknown.times == 0
    assert list(azure.resources.vms) == [machine.id]


def test_machine_of_the_same_name_from_another_owner_is_kept(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    del azure.resources.vms[machine.id].tags[JOB]
    with pytest.raises(Misconfigured, match="not created by Spotwave"):
        cloud.launch(offer(), brief())
    assert cloud.find() == []
    assert machine.id in azure.resources.vms


def test_termination_also_deletes_detached_parts(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user = False
    cloud.terminate(machine)
    assert azure.left() == ["secret"]


def test_deletion_of_a_reserved_interface_is_retried(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user = False
    azure.fail(instead("networkInterfaces.delete", refused(409, "NicReservedForAnotherVm"), times=1))
    cloud.terminate(machine)
    assert azure.left() == ["secret"]


def test_block_without_an_account_launches_and_finds_nothing() -> None:
    cloud = AzureCloud()
    with pytest.raises(Misconfigured, match=r"credentials: .* Azure Compute Credentials"):
        cloud.launch(offer(), brief())
    assert cloud.find() == []
    assert cloud.leftovers() == []
    assert [finding.ok for finding in cloud.check()] == [False]
    assert not cloud.is_local


def test_machine_that_may_not_delete_itself_is_deallocated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
