"""Validation of Azure credentials: errors report the field and the remedy."""

from __future__ import annotations

import pytest
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from pydantic import SecretStr, ValidationError

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.credentials import AzureCredentials
from tests.emulators.azure_world import SUBSCRIPTION


def test_complete_service_principal() -> None:
    credentials = AzureCredentials(
        subscription_id=SUBSCRIPTION.upper(),
        tenant_id="00000000-0000-0000-0000-000000000002",
        client_id="00000000-0000-0000-0000-000000000003",
        client_secret=SecretStr("never shown"),
    )

    assert credentials.subscription_id == SUBSCRIPTION
    assert isinstance(credentials.credential(), ClientSecretCredential)
    assert "never shown" not in repr(credentials)


def test_without_service_principal_the_environments_identity_is_used() -> None:
    assert isinstance(AzureCredentials(subscription_id=SUBSCRIPTION).credential(), DefaultAzureCredential)


def test_incomplete_service_principal_reports_the_missing_fields() -> None:
    with pytest.raises(ValidationError, match="tenant_id, client_secret: fill in the whole service principal"):
        AzureCredentials(subscription_id=SUBSCRIPTION, client_id="x")
    with pytest.raises(ValidationError) as error:
        AzureCredentials(subscription_id=SUBSCRIPTION, client_secret=SecretStr("x"), tenant_id="")
    assert "fill in" in str(error.value)


def test_error_does_not_contain_the_secret() -> None:
    with pytest.raises(ValidationError) as error:
        AzureCredentials.model_validate({"subscription_id": SUBSCRIPTION, "client_secret": "never shown"})

    assert "tenant_id, client_id" in str(error.value)
    assert "never shown" not in str(error.value)


def test_subscription_must_be_an_id() -> None:
    with pytest.raises(ValidationError, match=r"subscription_id: use the form .*az account show"):
        AzureCredentials(subscription_id="my subscription")


def test_region_must_be_a_short_name() -> None:
    with pytest.raises(ValidationError, match="regions: 'East US' is not a region"):
        AzureCloud(regions=["East US"])


def test_plain_http_endpoint_is_rejected() -> None:
    with pytest.raises(ValidationError, match="use https"):
        AzureCloud(management_endpoint="http://management.example")
