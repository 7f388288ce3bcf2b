"""The credentials' form: what is missing is named, with the remedy."""

from __future__ import annotations

import pytest
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from pydantic import SecretStr, ValidationError

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.credentials import AzureCredentials
from tests.emulators.azure_world import SUBSCRIPTION


def test_a_whole_service_principal() -> None:
    credentials = AzureCredentials(
        subscription_id=SUBSCRIPTION.upper(),
        tenant_id="00000000-0000-0000-0000-000000000002",
        client_id="00000000-0000-0000-0000-000000000003",
        client_secret=SecretStr("never told"),
    )

    assert credentials.subscription_id == SUBSCRIPTION
    assert isinstance(credentials.credential(), ClientSecretCredential)
    assert "never told" not in repr(credentials)


def test_none_of_it_is_the_identity_of_this_machine() -> None:
    assert isinstance(AzureCredentials(subscription_id=SUBSCRIPTION).credential(), DefaultAzureCredential)


def test_half_a_service_principal_names_the_other_half() -> None:
    with pytest.raises(ValidationError, match="tenant_id, client_secret: fill in the whole service principal"):
        AzureCredentials(subscription_id=SUBSCRIPTION, client_id="x")
    with pytest.raises(ValidationError) as error:
        AzureCredentials(subscription_id=SUBSCRIPTION, client_secret=SecretStr("x"), tenant_id="")
    assert "fill in" in str(error.value)


def test_what_is_wrong_is_said_without_the_secret() -> None:
    with pytest.raises(ValidationError) as error:
        AzureCredentials.model_validate({"subscription_id": SUBSCRIPTION, "client_secret": "never told"})

    assert "tenant_id, client_id" in str(error.value)
    assert "never told" not in str(error.value)


def test_a_subscription_is_named_by_its_id() -> None:
    with pytest.raises(ValidationError, match=r"subscription_id: it looks like .*az account show"):
        AzureCredentials(subscription_id="my subscription")


def test_a_region_is_named_by_its_short_name() -> None:
    with pytest.raises(ValidationError, match="regions: 'East US' is no region"):
        AzureCloud(regions=["East US"])


def test_tokens_do_not_leave_in_the_clear() -> None:
    with pytest.raises(ValidationError, match="use https"):
        AzureCloud(management_endpoint="http://management.example")
