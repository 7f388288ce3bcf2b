from __future__ import annotations

import json

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from blocks.access import PrefectAccess
from node.contract import SECRET_API

OWN = {
    PREFECT_API_URL: "http://127.0.0.1:4299/api",
    PREFECT_API_AUTH_STRING: "own:auth",
    PREFECT_API_KEY: None,
}


def told(access: PrefectAccess) -> dict[str, str]:
    return dict(json.loads(access.secrets()[SECRET_API].get_secret_value()))


def test_empty_is_what_the_controller_uses() -> None:
    with temporary_settings(OWN):
        assert told(PrefectAccess()) == {
            "PREFECT_API_URL": "http://127.0.0.1:4299/api",
            "PREFECT_API_AUTH_STRING": "own:auth",
        }


def test_another_address_of_the_same_server() -> None:
    with temporary_settings(OWN):
        access = told(PrefectAccess(api_url=" https://prefect.example.org/api/ "))
    assert access == {"PREFECT_API_URL": "https://prefect.example.org/api", "PREFECT_API_AUTH_STRING": "own:auth"}


def test_what_the_block_names_replaces_all_of_the_controllers_credentials() -> None:
    with temporary_settings(OWN):
        access = told(PrefectAccess(api_url="https://api.prefect.cloud/api/x", api_key=SecretStr("pnu_key")))
    assert access == {"PREFECT_API_URL": "https://api.prefect.cloud/api/x", "PREFECT_API_KEY": "pnu_key"}


def test_no_api_at_all_is_an_error_with_advice() -> None:
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(ValueError, match="make up"):
        PrefectAccess().secrets()


def test_an_address_needs_a_scheme() -> None:
    with pytest.raises(ValueError, match="api_url"):
        PrefectAccess(api_url="prefect.example.org")
    assert PrefectAccess(api_url="  ").api_url is None


def test_secrets_are_not_shown() -> None:
    access = PrefectAccess(api_key=SecretStr("pnu_key"), auth_string=SecretStr("a:b"))
    with temporary_settings(OWN):
        assert "pnu_key" not in f"{access!r} {access.secrets()!r}"
