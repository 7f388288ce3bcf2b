"""How a machine reaches the Prefect API."""

from __future__ import annotations

import json

from prefect.blocks.core import Block
from prefect.settings import get_current_settings
from pydantic import Field, SecretStr, field_validator

from node.contract import SECRET_API


class PrefectAccess(Block):
    """
    How machines reach the Prefect API: a self-hosted server or Prefect Cloud.

    Leave all fields empty to give machines what the controller itself uses, which is right for the local cloud.
    Machines in a cloud need an address that they can reach: not 127.0.0.1.

    Example:
        A self-hosted server behind an address that the machines can reach:
        ```python
        from blocks.access import PrefectAccess

        PrefectAccess(api_url="https://prefect.example.org/api", auth_string="user:password").save("server")
        ```
    """

    _block_type_name = "Access to Prefect"  # names that begin with "Prefect" are reserved
    _block_type_slug = "prefect-access"

    api_url: str | None = Field(
        None,
        title="API URL",
        description="As machines see it, e.g. 'https://prefect.example.org/api'. Empty: the controller's own.",
    )
    api_key: SecretStr | None = Field(
        None, title="API key", description="For Prefect Cloud. Key and auth string both empty: the controller's own."
    )
    auth_string: SecretStr | None = Field(
        None, title="Auth string", description="'user:password' of a self-hosted server that asks for one."
    )

    @field_validator("api_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        url = (url or "").strip().rstrip("/")
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError("api_url: must begin with http:// or https://, e.g. 'https://prefect.example.org/api'")
        return url

    def secrets(self) -> dict[str, SecretStr]:
        """File name in a machine's secrets folder -> content: the PREFECT_* settings, as JSON.

        Raises ValueError when neither the block nor the controller knows an API.
        """
        own = get_current_settings().api
        url = self.api_url or own.url
        if not url:
            raise ValueError(
                "access: there is no Prefect API for machines to speak to; start one with `make up`, or set "
                "PREFECT_API_URL, or the API URL of the Prefect Access block"
            )
        key, auth = self.api_key, self.auth_string
        if not (key or auth):
            key, auth = own.key, own.auth_string
        settings = {"PREFECT_API_URL": url}
        if key:
            settings["PREFECT_API_KEY"] = key.get_secret_value()
        if auth:
            settings["PREFECT_API_AUTH_STRING"] = auth.get_secret_value()
        return {SECRET_API: SecretStr(json.dumps(settings))}
