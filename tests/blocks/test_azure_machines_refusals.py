from __future__ import annotations

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.clients import LONGEST_WAIT_S, RETRIES
from spotwave.blocks.azure.refusals import of_code
from spotwave.blocks.errors import (
    Capacity,
    Closed,
    LaunchRefused,
    Misconfigured,
    Quota,
    Throttled,
    Unclear,
    Unfit,
)
from tests.blocks.machine_kit import brief
from tests.emulators.azure import AzureEmulator, fault, instead, refused, throttled
from tests.emulators.azure_kit import block, offer
from tests.emulators.server import garbage

QUOTA = "Operation could not be completed as it results in exceeding approved {} quota. Additional Required: 2"
GENERATION = "The selected VM size 'Standard_A1' cannot boot Hypervisor Generation '2'."
POLICY = (
    """Resource 'x' was disallowed by policy. Policy identifiers: '[{{"policyAssignment":{{"name":"{}","id":"/a"}}"""
)
SECRETIVE = "Cannot parse the request: {'customData': 'IyEvYmluL2Jhc2gK'}"


def refusal(azure: AzureEmulator, cloud: AzureCloud | None = None) -> LaunchRefused:
    with pytest.raises(LaunchRefused) as caught:
        (cloud or block(azure)).launch(offer(), brief())
    assert "\n" not in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "scope"),
    [
        (409, "SkuNotAvailable", "", Capacity, None),
        (200, "AllocationFailed", "", Capacity, None),
        (200, "ZonalAllocationFailed", "", Capacity, None),
        (200, "OverconstrainedAllocationRequest", "", Capacity, None),
        (200, "OverconstrainedZonalAllocationRequest", "", Capacity, None),
        (409, "SpotPriceGreaterThanProvidedMaxPrice", "", Capacity, None),
        (409, "OperationNotAllowed", QUOTA.format("LowPriorityCores"), Quota, "region"),
        (409, "OperationNotAllowed", QUOTA.format("standardDSv5Family Cores"), Quota, "type"),
        (409, "OperationNotAllowed", QUOTA.format("Total Regional Cores"), Quota, "region"),
        (409, "QuotaExceeded", QUOTA.format("standardDSv5Family Cores"), Quota, "type"),
        (409, "OperationNotAllowed", "The operation is not allowed.", Unclear, None),
        (400, "PublicIPCountLimitReached", "", Quota, "region"),
        (400, "SubnetIsFull", "", Quota, "region"),
        (409, "AzureSpotIsNotSupportedForThisVMSize", "", Unfit, None),
        (400, "BadRequest", GENERATION, Unfit, None),
        (400, "InvalidParameter", "The VM size 'x' is not supported: its CPU Architecture 'Arm64'", Unfit, None),
        (400, "InvalidParameter", "Required parameter 'subnet' is missing", Misconfigured, None),
        (409, "AzureSpotFeatureNotEnabledForSubscription", "", Misconfigured, None),
        (403, "AuthorizationFailed", "", Misconfigured, None),
        (403, "LinkedAuthorizationFailed", "", Misconfigured, None),
        (403, "RequestDisallowedByPolicy", "", Closed, "region"),
        (403, "RequestDisallowedByPolicy", POLICY.format("Allowed virtual machine size SKUs"), Closed, "type"),
        (403, "RequestDisallowedByAzure", "", Closed, "region"),
        (409, "LocationNotAvailableForResourceType", "", Closed, "region"),
        (403, "SomethingNew", "", Misconfigured, None),
        (400, "InvalidTemplateDeployment", "", Misconfigured, None),
        (409, "MissingSubscriptionRegistration", "", Misconfigured, None),
        (404, "ResourceGroupNotFound", "", Misconfigured, None),
        (404, "PlatformImageNotFound", "", Misconfigured, None),
        (429, "TooManyRequests", "", Throttled, None),
        (429, "OperationNotAllowed", "", Throttled, None),
        (500, "InternalServerError", "", Throttled, None),
        (503, "", "", Throttled, None),
        (200, "InternalExecutionError", "", Throttled, None),
        (409, "NobodyKnowsThis", "", Unclear, None),
        (200, "", "", Unclear, None),
    ],
)
def test_every_code_has_its_exception(
    status: int, code: str, message: str, kind: type[LaunchRefused], scope: str | None
) -> None:
    found = of_code(status, code, message, "the launch")
    assert type(found) is kind
    assert (found.reach if isinstance(found, Quota | Closed) else None) == scope
    assert code in found.reason
    if kind is Misconfigured:
        assert ";" in found.reason  # a remedy


def test_messages_that_quote_the_request_are_not_passed_on() -> None:
    assert "IyEv" not in of_code(400, "InvalidParameter", SECRETIVE, "the launch").reason
    denied = "The client 'x' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/write'"
    assert "(Microsoft.Compute/virtualMachines/write)" in of_code(403, "AuthorizationFailed", denied, "").reason


@pytest.mark.parametrize(("zone", "code"), [("eastus-1", "ZonalAllocationFailed"), (None, "AllocationFailed")])
def test_creation_that_fails_later_is_deleted_with_its_parts(azure: AzureEmulator, zone: str | None, code: str) -> None:
    azure.exhausted.add(("Standard_D2s_v5", zone or "eastus"))
    cloud = block(azure)
    with pytest.raises(Capacity, match=code):
        cloud.launch(offer(zone=zone), brief())
    assert len(azure.arm.puts) == 1
    assert {item.kind for item in azure.ledger.items()} == {"machine", "disk", "nic", "ip", "secret"}
    assert set(azure.left()) <= {"secret"}
    assert cloud.find() == []
    assert cloud.launch(offer(zone="eastus-2"), brief())[0].zone == "eastus-2"


def test_failed_creation_with_a_lost_answer_reports_the_reason(azure: AzureEmulator) -> None:
    azure.exhausted.add(("Standard_D2s_v5", "eastus-1"))
    azure.fail(fault("virtualMachines.put", garbage(), times=1))
    assert isinstance(refusal(azure), Capacity)
    assert set(azure.left()) <= {"secret"}


def test_quota_used_up_by_another_launch(azure: AzureEmulator) -> None:
    message = QUOTA.format("LowPriorityCores")
    azure.fail(instead("virtualMachines.put", refused(409, "OperationNotAllowed", message)))
    found = refusal(azure)
    assert isinstance(found, Quota)
    assert found.reach == "region"


def test_incompatible_size_and_image_skip_the_size(azure: AzureEmulator) -> None:
    with pytest.raises(Unfit):
        block(azure).launch(offer("Standard_D4ps_v5"), brief())  # is arm64, but the offer says x86_64
    with pytest.raises(Unfit):
        block(azure).launch(offer("Standard_B2ms"), brief())
    assert set(azure.left()) <= {"secret"}


def test_long_retry_after_is_capped(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("azure.core.pipeline.transport._base.time.sleep", slept.append)
    azure.fail(instead("virtualMachines.list", throttled(6 * 3600)))
    with pytest.raises(Throttled) as caught:
        block(azure).find()
    assert [wait for wait in slept if wait] == [LONGEST_WAIT_S] * RETRIES
    assert caught.value.retry_after_s == LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("call", "code", "remedy"),
    [
        ("virtualMachines.put", "AuthorizationFailed", "azure-launcher.json"),
        ("usages.get", "AuthorizationFailed", "azure-launcher.json"),
        ("virtualMachines.put", "MissingSubscriptionRegistration", "az provider register"),
        ("virtualMachines.put", "AzureSpotFeatureNotEnabledForSubscription", "pay-as-you-go"),
        ("virtualMachines.put", "PlatformImageNotFound", "image:"),
    ],
)
def test_error_that_only_the_user_can_fix_has_a_remedy(azure: AzureEmulator, call: str, code: str, remedy: str) -> None:
    azure.fail(instead(call, refused(409 if "Missing" in code else 403, code, "register 'Microsoft.Compute'")))
    found = refusal(azure)
    assert isinstance(found, Misconfigured)
    assert remedy in found.reason
    assert azure.count("virtualMachines.put") <= 1
    assert not any(call.startswith("POST") for call in azure.calls)  # no provider was registered


@pytest.mark.parametrize(
    ("code", "words"),
    [("RequestDisallowedByAzure", "Microsoft allows"), ("RequestDisallowedByPolicy", "('Allowed locations')")],
)
def test_closed_region_does_not_affect_others(azure: AzureEmulator, code: str, words: str) -> None:
    azure.settings.closed["eastus"] = code
    found = refusal(azure)
    assert isinstance(found, Closed)
    assert words in found.reason
    assert found.lasting
    assert set(azure.left()) <= {"secret"}
    assert block(azure).launch(offer(region="westeurope", zone="westeurope-1"), brief())[0].region == "westeurope"


def test_launch_waits_for_a_new_identity(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("spotwave.blocks.azure.machines.IDENTITY_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr("spotwave.blocks.azure.machines.time.sleep", slept.append)
    azure.settings.unready_identity = 2
    block(azure).launch(offer(), brief())
    assert azure.count("virtualMachines.put") == 3
    assert len(slept) >= 2
    azure.settings.unready_identity = 10**6
    with pytest.raises(Misconfigured, match="identity"):
        block(azure).launch(offer(), brief(attempt=2))
    assert len(azure.resources.vms) == 1


def test_constrained_size_counts_as_the_full_size(azure: AzureEmulator) -> None:
    azure.settings.spot_vcpus["eastus"] = 6
    found = block(azure)
    with pytest.raises(Quota) as caught:
        found.launch(offer("Standard_E8-4ds_v5").model_copy(update={"vcpus": 4}), brief())
    assert (caught.value.quota, caught.value.left) == ("lowPriorityCores", 6)
    assert azure.count("virtualMachines.put") == 0
    found.launch(offer("Standard_D4as_v5").model_copy(update={"vcpus": 4}), brief())


def test_missing_resource_group_identity_or_token(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotwave.blocks.azure.machines.IDENTITY_PAUSES_S", ())
    azure.settings.identities.clear()
    assert "does not exist; run az identity create" in refusal(azure).reason
    azure.settings.groups.clear()
    found = refusal(azure)
    assert isinstance(found, Misconfigured)
    assert "az group create" in found.reason
    azure.fail(instead("virtualMachines.get", refused(401, "InvalidAuthenticationToken")))
    assert "credentials:" in refusal(azure).reason
    assert azure.count("virtualMachines.put") == 0
