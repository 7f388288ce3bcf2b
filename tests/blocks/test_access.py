from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)
from pydantic import SecretStr, ValidationError

from spotwave.blocks.access import MARGIN_S, PrefectAccess
from spotwave.blocks.attempt_token import AttemptToken, BadToken
from spotwave.blocks.basic_auth import basic, credentials
from spotwave.blocks.tls import FILE
from spotwave.node.contract import SECRET_API
from tests.security.tls_kit import authority

OWN = {
    PREFECT_API_URL: "http://127.0.0.1:4299/api",
    PREFECT_API_AUTH_STRING: "own:auth",
    PREFECT_API_KEY: None,
}
ATTEMPT: dict[str, Any] = {
    "job_key": "sw-0123456789ab",
    "attempt": 2,
    "lease_id": "0193aaaa-0000-7000-8000-00000000000a",
    "deadline": 4e9,
}
KEY = SecretStr("a key of at least thirty-two characters")


def settings_of(access: PrefectAccess) -> dict[str, str]:
    return dict(json.loads(access.secrets(**ATTEMPT)[SECRET_API].get_secret_value()))


def proxied(url: str = "https://machines.example.org") -> PrefectAccess:
    return PrefectAccess(way="proxy", proxy_url=url, proxy_key=KEY)


def test_empty_block_uses_the_controllers_settings() -> None:
    with temporary_settings(OWN):
        assert settings_of(PrefectAccess()) == {
            "PREFECT_API_URL": "http://127.0.0.1:4299/api",
            "PREFECT_API_AUTH_STRING": "own:auth",
        }


def test_other_address_of_the_same_server() -> None:
    with temporary_settings(OWN):
        access = settings_of(PrefectAccess(api_url=" https://prefect.example.org/api/ "))
    assert access == {"PREFECT_API_URL": "https://prefect.example.org/api", "PREFECT_API_AUTH_STRING": "own:auth"}


def test_block_credentials_replace_all_of_the_controllers() -> None:
    with temporary_settings(OWN):
        access = settings_of(PrefectAccess(api_url="https://api.prefect.cloud/api/x", api_key=SecretStr("pnu_key")))
    assert access == {"PREFECT_API_URL": "https://api.prefect.cloud/api/x", "PREFECT_API_KEY": "pnu_key"}


def test_proxied_machine_gets_a_token_but_no_controller_credentials() -> None:
    with temporary_settings(OWN):
        access = settings_of(proxied(" https://machines.example.org/api/ "))
    assert access.keys() == {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}
    assert access["PREFECT_API_URL"] == "https://machines.example.org/api"
    user, _, text = access["PREFECT_API_AUTH_STRING"].partition(":")
    assert user == "machine"
    token = AttemptToken.read(text, KEY.get_secret_value())
    assert (token.name, str(token.lease_id)) == ("sw-0123456789ab-2", ATTEMPT["lease_id"])
    assert token.expires == ATTEMPT["deadline"] + MARGIN_S
    with pytest.raises(BadToken, match="not signed by Spotwave"):
        AttemptToken.read(text, PrefectAccess.new_key().get_secret_value())
    with temporary_settings(OWN):
        assert settings_of(proxied()) == access, "a repeated launch must not differ"


def test_token_expires() -> None:
    ended = ATTEMPT | {"deadline": time.time() - MARGIN_S - 1}
    settings = json.loads(proxied().secrets(**ended)[SECRET_API].get_secret_value())
    with pytest.raises(BadToken, match="has expired"):
        AttemptToken.read(settings["PREFECT_API_AUTH_STRING"].partition(":")[2], KEY.get_secret_value())


def test_detached_machine_gets_no_settings() -> None:
    access = PrefectAccess(way="detached")
    with temporary_settings(OWN):
        assert settings_of(access) == {}
    with temporary_settings({PREFECT_API_URL: None}):
        assert (access.detached, access.problem(here=False), access.reached()) == (True, None, None)
    assert not PrefectAccess().detached


def test_blocks_saved_before_there_were_ways_still_load() -> None:
    old = {"api_url": "https://prefect.example.org/api", "api_key": None, "auth_string": "user:password"}
    access = PrefectAccess.model_validate(old)
    assert access.way == "direct"
    assert settings_of(access)["PREFECT_API_AUTH_STRING"] == "user:password"
    # The UI's form sends empty texts.
    assert PrefectAccess.model_validate(old | {"proxy_url": "", "proxy_key": ""}).proxy_key is None


def test_missing_api_is_an_error_with_a_remedy() -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        with pytest.raises(ValueError, match="make up"):
            PrefectAccess().secrets(**ATTEMPT)
        assert "make up" in (PrefectAccess().problem(here=True) or "")
        assert "make up" in (PrefectAccess().reached() or "")


@pytest.mark.parametrize(
    ("access", "here", "problem"),
    [
        (PrefectAccess(), True, None),
        (PrefectAccess(), False, "api_url: machines in a cloud cannot reach http://127.0.0.1:4299/api."),
        (PrefectAccess(api_url="https://prefect.example.org/api"), False, None),
        (PrefectAccess(api_url="https://10.1.2.3/api"), False, None),  # networks can be connected
        (PrefectAccess(api_url="https://laptop.local/api"), False, "api_url: machines in a cloud cannot reach"),
        (PrefectAccess(api_url="https://laptop/api"), False, "api_url: machines in a cloud cannot reach"),
        (PrefectAccess(api_url="https://[::1]/api"), False, "api_url: machines in a cloud cannot reach"),
        (PrefectAccess(api_url="http://0.0.0.0:4200/api"), False, "api_url: machines in a cloud cannot reach"),
        (PrefectAccess(api_url="http://prefect.example.org/api"), False, "api_url: http://prefect"),
        (PrefectAccess(api_url="http://10.1.2.3:4200/api"), True, "api_url: http://10.1.2.3:4200/api would"),
        (proxied(), False, None),
        (proxied("http://127.0.0.1:4280"), True, None),
        (proxied("http://127.0.0.1:4280"), False, "proxy_url: machines in a cloud cannot reach"),
        (proxied("http://machines.example.org"), False, "proxy_url: http://machines.example.org would send"),
        (PrefectAccess(way="proxy", proxy_key=KEY), True, "proxy_url: give the address"),
        (PrefectAccess(way="proxy", proxy_url="https://x.org"), True, "proxy_key: give the key"),
    ],
)  # fmt: skip
def test_problems_found_without_a_request(access: PrefectAccess, here: bool, problem: str | None) -> None:
    with temporary_settings(OWN):
        found = access.problem(here)
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(problem)
        assert "\n" not in found


def test_unreachable_proxy_is_reported() -> None:
    found = proxied("http://127.0.0.1:9").reached()
    assert found == (
        "proxy_url: the proxy http://127.0.0.1:9 does not answer (ConnectError). Start it with `spotwave proxy`, or "
        "correct the address."
    )
    assert PrefectAccess(way="proxy", proxy_key=KEY).reached() == PrefectAccess(way="proxy", proxy_key=KEY).problem(
        True
    )


def test_address_needs_a_scheme() -> None:
    with pytest.raises(ValueError, match="api_url"):
        PrefectAccess(api_url="prefect.example.org")
    with pytest.raises(ValueError, match="proxy_url"):
        PrefectAccess(proxy_url="prefect.example.org")
    with pytest.raises(ValueError, match="credentials have fields of their own"):
        PrefectAccess(api_url="https://user:password@prefect.example.org/api")
    assert PrefectAccess(api_url="  ").api_url is None


def test_short_key_is_rejected() -> None:
    with pytest.raises(ValidationError, match="proxy_key: give at least 32 characters"):
        PrefectAccess(proxy_key=SecretStr("x" * 31))
    keys = {PrefectAccess.new_key().get_secret_value() for _ in range(10)}
    assert len(keys) == 10
    assert min(map(len, keys)) >= 43, "256 bits in base64"


def test_secrets_are_not_shown() -> None:
    access = PrefectAccess(api_key=SecretStr("pnu_key"), auth_string=SecretStr("a:b"), proxy_key=KEY)
    with temporary_settings(OWN):
        shown = f"{access!r} {access.secrets(**ATTEMPT)!r}"
    assert "pnu_key" not in shown
    assert KEY.get_secret_value() not in shown
    with pytest.raises(ValidationError) as error:
        PrefectAccess.model_validate({"proxy_key": "too short to be shown"})
    assert "too short to be shown" not in str(error.value)


def test_machines_trust_the_controllers_authority_at_its_own_address(tmp_path: Path) -> None:
    """Uses Prefect's own setting, unless the block has an authority, another address or the proxy."""
    own, other = authority(tmp_path / "own"), authority(tmp_path / "other")
    url = "https://prefect.example.org/api"
    with temporary_settings({**OWN, PREFECT_API_URL: url, PREFECT_API_SSL_CERT_FILE: str(own.file)}):
        assert sent(PrefectAccess()) == sent(PrefectAccess(api_url=url)) == own.pem.strip()
        assert sent(PrefectAccess(ca=other.pem)) == other.pem.strip()
        assert sent(PrefectAccess(api_url="https://prefect.intern.example.org/api")) is None
        assert sent(proxied()) is None
        assert sent(PrefectAccess(way="detached")) is None
        with temporary_settings(OWN):  # plain http to this computer needs no certificate
            assert sent(PrefectAccess()) is None
        for here in (True, False):
            assert PrefectAccess().problem(here) is None


@pytest.mark.parametrize(
    ("text", "here", "problem"),
    [
        (None, True, "PREFECT_API_SSL_CERT_FILE: /"),
        ("no certificate", True, "ca: cannot be read as a certificate"),
        ("-----BEGIN PRIVATE KEY-----", True, "ca: it contains a private key"),
        ("x" * 20_000, False, "ca: PREFECT_API_SSL_CERT_FILE has 20000 characters, too many for machines"),
        ("x" * 20_000, True, None),  # local machines read the file themselves
    ],
)
def test_authority_that_cannot_be_sent_to_machines_is_reported(
    text: str | None, here: bool, problem: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "own.pem"
    if text is not None:
        file.write_text(text)
    own = {**OWN, PREFECT_API_URL: "https://prefect.example.org/api", PREFECT_API_SSL_CERT_FILE: str(file)}
    with temporary_settings(own):
        found = PrefectAccess().problem(here)
    assert found == problem if problem is None else (found or "").startswith(problem), found


def test_controller_without_verification_needs_an_authority_in_the_block() -> None:
    own = {**OWN, PREFECT_API_URL: "https://prefect.example.org/api", PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}
    with temporary_settings(own):
        assert (PrefectAccess().problem(True) or "").startswith("ca: the controller does not verify")


def sent(access: PrefectAccess) -> str | None:
    """Return the certificates that machines get."""
    found = access.secrets(**ATTEMPT).get(FILE)
    return None if found is None else found.get_secret_value().strip()


def test_auth_string_may_have_colons_and_spaces() -> None:
    auth = "controller:its own secret, with a colon: in it"
    assert credentials(basic(auth)) == auth
