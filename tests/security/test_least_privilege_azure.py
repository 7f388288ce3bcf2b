"""Azure: the documented roles grant exactly the actions that the calls need, in the scope of each call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import LaunchBrief
from tests.blocks.machine_kit import brief as a_brief
from tests.blocks.machine_kit import until
from tests.emulators.azure import instead, refused
from tests.emulators.azure_kit import block, emulated, offer
from tests.emulators.azure_resources import Part, resource_id
from tests.security.api_walkthroughs import MACHINE, billed, looked_at, removed
from tests.security.azure_iam import DRILL, HOLDERS, GuardedAzure, granted, role
from tests.security.guard import POLICIES, contains_secret

PLANTED = "planted-2b7d90"
KEY = "sw-0123456789ab"
DOCS = POLICIES.parents[1] / "docs/accounts/azure.md"
IDLE = "@SETTINGS@\n@BRIEF@\n"


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GuardedAzure]:
    with emulated(monkeypatch, GuardedAzure(folder=tmp_path / "machines")) as emulator:
        assert isinstance(emulator, GuardedAzure)
        yield emulator


def brief(attempt: int = 1) -> LaunchBrief:
    return LaunchBrief(a_brief(attempt=attempt).brief, {"rclone.conf": SecretStr(PLANTED)})


def test_roles_grant_exactly_the_used_actions(azure: GuardedAzure) -> None:
    cloud = block(azure)
    assert [finding for finding in looked_at(cloud) if not finding.ok] == []
    assert [finding for finding in block(azure, "eastus").check() if not finding.ok] == []
    [machine] = cloud.machines(MACHINE).launch(offer(), brief())
    computer = azure.computers[machine.id]
    until((computer.work / "up").exists)
    assert (computer.work / "kept/rclone.conf").read_text() == PLANTED
    [second] = cloud.machines(IDLE).launch(offer(), brief(attempt=2))
    cloud.state(second)
    cloud.terminate(second)
    billed(cloud, second)
    # A machine deletes itself; if Azure does not permit it, it deallocates itself.
    azure.fail(instead("virtualMachines.delete", refused(409, "Conflict"), times=1))
    (computer.work / "end").touch()
    until(lambda: azure.resources.vms[machine.id].power == "deallocated" if machine.id in azure.resources.vms else True)
    cloud.terminate(machine)
    for kind, type_ in (
        ("disk", "Microsoft.Compute/disks"),
        ("nic", "Microsoft.Network/networkInterfaces"),
        ("ip", "Microsoft.Network/publicIPAddresses"),
    ):
        leave(azure, kind, type_)
    removed(cloud, "disk", "nic", "ip", "secret")
    # A resumed job finds its secret deleted but not purged.
    azure.vault.may_purge = False
    cloud.launch(offer(), brief(attempt=3))
    removed_machine = cloud.find()[0]
    cloud.terminate(removed_machine)
    removed(cloud, "secret")
    azure.vault.may_purge = True
    cloud.machines(IDLE).launch(offer(), brief(attempt=4))
    assert azure.unknown == []
    # The SDK checks whether a secret is recovered by reading it, and treats 403 as success (in its
    # keyvault/secrets/_shared/_polling.py): the launcher needs no right to read secrets.
    assert azure.lacked == {"launcher": {"Microsoft.KeyVault/vaults/secrets/getSecret/action"}}
    with_secret = {(one.method, one.path) for one in azure.requests if contains_secret(one, PLANTED)}
    assert with_secret == {("PUT", f"/secrets/spotwave-{KEY}")}
    assert azure.used == {name: granted(name) for names in HOLDERS.values() for name in names.values()}


def leave(azure: GuardedAzure, kind: str, type_: str) -> None:
    id_ = resource_id("spotwave", type_, f"left-{kind}").lower()
    azure.resources.parts[id_] = Part(kind, id_, "eastus", {"spotwave": KEY}, None, delete_with_user=False)


def test_drill_needs_separate_role(azure: GuardedAzure) -> None:
    cloud = block(azure)
    [machine] = cloud.machines(IDLE).launch(offer(), brief())
    cloud.force_interruption(machine)
    assert azure.used[DRILL] == granted(DRILL)
    azure.granted[DRILL].clear()
    with pytest.raises(LaunchRefused):
        cloud.force_interruption(machine)
    assert azure.lacked == {"launcher": {"Microsoft.Compute/virtualMachines/simulateEviction/action"}}


def test_roles_are_limited_to_group_and_readers_cannot_write() -> None:
    group = "/subscriptions/SUBSCRIPTION/resourceGroups/spotwave"
    for name in ("launcher", "machine", "launcher-secrets", "machine-secrets", DRILL):
        assert role(name)["AssignableScopes"] == [group]
    assert role("reader")["AssignableScopes"] == ["/subscriptions/SUBSCRIPTION"]
    assert all(action.endswith("/read") for action in granted("reader"))
    assert not any("*" in action for names in HOLDERS.values() for name in names.values() for action in granted(name))


def test_docs_create_and_assign_every_role() -> None:
    page = DOCS.read_text()
    made = re.search(r"for who in ([^;]+); do", page)
    assert made is not None
    assert set(made[1].split()) == {name for names in HOLDERS.values() for name in names.values()}
    for name in made[1].split():
        assert page.count(f'"{role(name)["Name"]}"') == 1, f"{name} is assigned once"


def test_removed_action_is_detected(azure: GuardedAzure) -> None:
    azure.granted["launcher"].remove("Microsoft.Network/publicIPAddresses/join/action")
    with pytest.raises(LaunchRefused, match=r"azure-launcher\.json"):
        block(azure).launch(offer(), brief())
    assert azure.lacked == {"launcher": {"Microsoft.Network/publicIPAddresses/join/action"}}
    assert azure.resources.vms == {}
