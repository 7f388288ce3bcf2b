from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.check import NEEDED, OF_NETWORK
from spotwave.blocks.azure.secrets import MAX_BYTES
from spotwave.blocks.errors import Misconfigured, Throttled
from spotwave.blocks.models import Finding, Leftover
from tests.blocks.machine_kit import brief
from tests.emulators.azure import AzureEmulator, instead, refused, server_error
from tests.emulators.azure_account import GROUP
from tests.emulators.azure_kit import block, offer
from tests.emulators.server import Response

POLICIES = Path(__file__).parents[2] / "deployments/policies"
PLANTED = "planted-3f9c1e"
NAME = "spotwave-sw-0123456789ab"


def kinds(leftovers: list[Leftover]) -> list[str]:
    return [one.kind for one in leftovers]


def findings(cloud: AzureCloud) -> dict[str, Finding]:
    return {finding.what: finding for finding in cloud.check()}


def test_resumed_job_recovers_its_deleted_secret(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief(secrets={"a": "1"}))
    azure.vault.may_purge = False
    (secret,) = [one for one in cloud.leftovers() if one.kind == "secret"]
    cloud.remove(secret)
    cloud.remove(secret)
    assert azure.secrets == {}
    assert list(azure.vault.deleted) == [NAME]
    cloud.launch(offer(), brief(attempt=2, secrets={"a": "2"}))
    assert json.loads(azure.secrets[NAME]) == {"a": "2"}


def test_deleted_secret_is_purged_if_allowed(azure: AzureEmulator) -> None:
    cloud = block(azure)
    cloud.launch(offer(), brief())
    (secret,) = cloud.leftovers("sw-0123456789ab")
    assert (secret.id, secret.job_key, secret.deadline) == (NAME, "sw-0123456789ab", float(azure_deadline(azure)))
    cloud.remove(secret)
    assert (azure.secrets, azure.vault.deleted) == ({}, {})


def azure_deadline(azure: AzureEmulator) -> str:
    tag: str = azure.arm.puts[0]["tags"]["spotwave-deadline"]
    return tag


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(403, "Key Vault Secrets Officer"), (404, "check that it is a Key Vault's address"), (409, "is being purged")],
)
def test_launch_is_refused_if_the_vault_rejects_the_secret(azure: AzureEmulator, status: int, remedy: str) -> None:
    azure.fail(instead("secrets.put", refused(status, "Forbidden")))
    with pytest.raises(Throttled if status == 409 else Misconfigured, match=remedy) as caught:
        block(azure).launch(offer(), brief(secrets={"a": PLANTED}))
    assert PLANTED not in str(caught.value)
    assert azure.arm.puts == []


def test_missing_vault_and_too_long_secrets(azure: AzureEmulator) -> None:
    nowhere = AzureCloud(**{**dict(block(azure)), "vault_url": "http://127.0.0.1:9"})
    with pytest.raises(Misconfigured, match="az keyvault create"):
        nowhere.launch(offer(), brief())
    with pytest.raises(Misconfigured, match=str(MAX_BYTES)):
        block(azure).launch(offer(), brief(secrets={"a": "x" * MAX_BYTES}))


def test_leftover_interface_and_address_have_the_deadline(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user = False
    azure.resources.delete(azure.resources.vms[machine.id])
    left = cloud.leftovers()
    assert kinds(left) == ["nic", "ip", "disk", "secret"]
    assert {one.deadline for one in left if one.kind in ("nic", "ip")} == {float(azure_deadline(azure))}


@pytest.mark.parametrize("body", ["{}", '{"value": null}', '{"value": [], "nextLink": "http://127.0.0.2/more"}'])
def test_invalid_list_does_not_count_as_empty(azure: AzureEmulator, body: str) -> None:
    azure.fail(instead("disks.list", lambda request, said: Response(body.encode())))
    with pytest.raises(Throttled, match="listing disks, interfaces and addresses failed: the answer was lost"):
        block(azure).leftovers()


def test_parts_of_a_machine_under_creation_are_no_leftovers(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.user = None
    assert kinds(cloud.leftovers()) == ["secret"]
    cloud.terminate(machine)


def test_resources_of_others_are_no_leftovers(azure: AzureEmulator) -> None:
    cloud = block(azure)
    [machine] = cloud.launch(offer(), brief())
    for part in azure.resources.parts.values():
        part.delete_with_user, part.tags = False, {"team": "other"}
    azure.resources.delete(azure.resources.vms[machine.id])
    azure.vault.living[NAME].tags = {}
    assert [one.kind for one in cloud.leftovers()] == ["nic", "ip", "disk"]  # by name, in the block's group
    elsewhere = AzureCloud(**{**dict(cloud), "resource_group": "other"})
    assert elsewhere.leftovers() == []


def test_check_without_problems(azure: AzureEmulator) -> None:
    found = findings(block(azure, "eastus", "westeurope"))
    assert list(found) == [
        *("credentials", "resource group", "providers", "rights", "quota eastus", "quota westeurope", "identity"),
        *("network eastus", "network westeurope", "image x86_64", "image arm64", "secrets"),
    ]
    assert all(finding.ok for finding in found.values())
    assert azure.secrets == {}
    assert azure.resources.vms == {}
    assert findings(block(azure))["quota"].said == "spot vCPUs left in 3 of 3 regions, at most 100"


def test_check_reports_what_is_missing_with_its_remedy(azure: AzureEmulator) -> None:
    azure.settings.groups.add("mine")
    azure.settings.providers["Microsoft.Compute"] = "NotRegistered"
    azure.settings.actions = [action for action in NEEDED if "disks/delete" not in action]
    azure.settings.spot_vcpus["eastus"] = 0
    azure.settings.image_skus.remove("server-arm64")
    azure.settings.identities.clear()
    azure.fail(instead("secrets.put", refused(403, "Forbidden")))
    group = "/subscriptions/00000000-0000-0000-0000-00000000abcd/resourceGroups/gone"
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/net/subnets/jobs"
    found = findings(AzureCloud(**{**dict(block(azure, "eastus")), "network": network}))
    for what, remedy in {
        "providers": "az provider register -n Microsoft.Compute",
        "rights": "missing Microsoft.Compute/disks/delete",
        "quota eastus": "Total Regional Spot vCPUs",
        "identity": "az identity create -g spotwave -n spotwave-machine",
        "network eastus": "az network vnet create -g gone -n net -l eastus --subnet-name jobs",
        "image arm64": "404",
        "secrets": "Key Vault Secrets Officer",
    }.items():
        assert not found[what].ok, what
        assert remedy in found[what].said
    assert [finding.what for finding in found.values() if finding.ok] == [
        "credentials",
        "resource group",
        "image x86_64",
    ]


@pytest.mark.parametrize(
    ("scopes", "remedy"),
    [
        ([], "may not delete its machine"),
        ([GROUP.replace("spotwave", "other")], "may not delete its machine"),
        ([GROUP.replace("spotwave", "spot")], "may not delete its machine"),
        ([GROUP], "may not read the secret"),
    ],
)
def test_identity_without_its_roles(azure: AzureEmulator, scopes: list[str], remedy: str) -> None:
    azure.settings.role_scopes = scopes
    assert remedy in findings(block(azure, "eastus"))["identity"].said


def test_check_without_an_answer_raises_nothing(azure: AzureEmulator) -> None:
    azure.fail(instead("usages.get", server_error(), times=4))
    found = findings(block(azure, "eastus"))
    assert found["quota eastus"].ok is None
    assert found["secrets"].ok


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("image", "ubuntu"),
        ("image_arm64", "/subscriptions/x"),
        ("network", "my-subnet"),
        ("identity", "spotwave-machine"),
        ("resource_group", "a/b"),
        ("vault_url", "http://vault.example.org"),
    ],
)
def test_invalid_setting_is_rejected_by_the_block(setting: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match=setting):
        AzureCloud.model_validate({setting: wrong})


def test_role_definitions_contain_the_needed_permissions() -> None:
    launcher, machine = (json.loads((POLICIES / f"azure-{who}.json").read_text()) for who in ("launcher", "machine"))
    assert {*NEEDED, *OF_NETWORK} <= set(launcher["Actions"])
    assert "Microsoft.Compute/virtualMachines/delete" in machine["Actions"]
    assert "Microsoft.Compute/virtualMachines/deallocate/action" in machine["Actions"]
    assert not any("write" in action or "*" in action for action in machine["Actions"])
    for role in (launcher, machine):
        assert role["AssignableScopes"] == ["/subscriptions/SUBSCRIPTION/resourceGroups/spotwave"]
