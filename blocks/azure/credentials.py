"""Block of Azure credentials: a subscription, and an identity that may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# Waits for throttled answers, but gives up within seconds if a service is down.
_PATIENCE = {"retry_total": 3, "retry_status": 3, "retry_backoff_factor": 0.25, "retry_backoff_max": 4}


class AzureCredentials(Block):
    """
    An Azure subscription, and an identity that may read it: a service principal, or the one of this computer.

    The Reader role on the subscription is enough to see which sizes it may use, and their eviction rates.
    docs/accounts/azure.md lists the permissions to rent machines.

    Example:
        A service principal, as created by `az ad sp create-for-rbac --role Reader`:
        ```python
        from spotwave.blocks.azure.credentials import AzureCredentials

        AzureCredentials(
            subscription_id="00000000-0000-0000-0000-000000000001",
            tenant_id="00000000-0000-0000-0000-000000000002",
            client_id="00000000-0000-0000-0000-000000000003",
            client_secret="its password",
        ).save("mine")
        ```
    """

    _block_type_name = "Azure Compute Credentials"
    _block_type_slug = "azure-compute-credentials"

    model_config = ConfigDict(hide_input_in_errors=True)  # the input may contain a secret

    subscription_id: str = Field(
        title="Subscription ID", description="The subscription to use; `az account show --query id` prints it."
    )
    tenant_id: str | None = Field(None, title="Tenant ID", description="The service principal's tenant.")
    client_id: str | None = Field(None, title="Client ID", description="The service principal's application ID.")
    client_secret: SecretStr | None = Field(
        None,
        title="Client secret",
        description="The service principal's password. If tenant and client ID are also empty: the environment "
        "variables AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or this machine's managed identity.",
    )

    @field_validator("subscription_id")
    @classmethod
    def _validate_subscription(cls, subscription_id: str) -> str:
        """Validate the id, since it becomes part of an address."""
        try:
            return str(UUID(subscription_id))
        except ValueError as error:
            raise ValueError(
                "subscription_id: use the form 00000000-0000-0000-0000-000000000000; "
                "`az account show --query id` prints it"
            ) from error

    @model_validator(mode="after")
    def _validate_service_principal(self) -> AzureCredentials:
        parts = {"tenant_id": self.tenant_id, "client_id": self.client_id, "client_secret": self.client_secret}
        empty = [name for name, value in parts.items() if not value]
        if empty and len(empty) < len(parts):
            raise ValueError(
                f"{', '.join(empty)}: fill in the whole service principal, or leave {', '.join(parts)} all empty"
            )
        return self

    def credential(self) -> TokenCredential:
        """Return a credential that gets tokens on demand; creating it makes no call.

        Without a service principal it tries the environment variables and the managed identity. Sources that start
        desktop programs (CLI, PowerShell, editors, brokers) are excluded, since each takes seconds to fail.
        """
        # Imported here, like all of the SDK, since the block's form does not need it.
        from azure.identity import ClientSecretCredential, DefaultAzureCredential

        if self.tenant_id and self.client_id and self.client_secret:
            return ClientSecretCredential(
                self.tenant_id, self.client_id, self.client_secret.get_secret_value(), **_PATIENCE
            )
        return DefaultAzureCredential(
            exclude_shared_token_cache_credential=True,
            exclude_visual_studio_code_credential=True,
            exclude_cli_credential=True,
            exclude_developer_cli_credential=True,
            exclude_powershell_credential=True,
            exclude_broker_credential=True,
            **_PATIENCE,
        )
