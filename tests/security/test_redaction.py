"""Secrets in output of programs: none of them shows, however it is written, and ordinary words stay."""

from __future__ import annotations

import base64
import html
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.rclone import rclone_binary
from spotwave.node.storage.redact import RedactedLog, redactor, secrets_of
from spotwave.node.storage.secret_patterns import names_a_secret, without_secrets
from tests.security.rows import Row

SECRET = "pl+nted/S3cret=/word~5c 1f77"
TOKEN = "T0ken9zR4plantedQx77"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxfQ.c2lnbmVkLXBsYW50ZWQ"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9wplanted\nAAAAplantedAAAA\n-----END PRIVATE KEY-----"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Encodings of a known secret: name -> (the text, parts that must not remain).
WRITTEN: dict[str, tuple[str, list[str]]] = {
    "as it is": (SECRET, [SECRET]),
    "quoted for a path": (quote(SECRET), ["S3cret", "5c"]),
    "quoted for a path, in lower case": (quote(SECRET, safe="").replace("%2F", "%2f"), ["S3cret"]),
    "quoted for a form": (quote_plus(SECRET), ["S3cret", "5c"]),
    "quoted twice": (quote(quote(SECRET, safe=""), safe=""), ["S3cret"]),
    "in JSON": (json.dumps({"x": SECRET + "ü"}), ["S3cret"]),
    "in JSON with \\u": ("".join(f"\\u{ord(one):04x}" for one in SECRET), ["\\u0053\\u0033"]),
    "in XML": (f"<Key>{html.escape(SECRET)}</Key>", ["S3cret"]),
    "in base64": (b64(SECRET), [b64(SECRET)[4:20]]),
    "in base64 without its padding": (b64(SECRET).rstrip("="), [b64(SECRET)[4:20]]),
    "in base64 for addresses": (base64.urlsafe_b64encode(SECRET.encode()).decode(), [b64(SECRET)[4:12]]),
    "in base64, behind a user": (b64(f"u:{SECRET}"), [b64(f"u:{SECRET}")[6:20]]),
    "in base64, behind a longer user": (b64(f"us:{SECRET}"), [b64(f"us:{SECRET}")[6:20]]),
    "in base64, behind the longest user": (b64(f"use:{SECRET}"), [b64(f"use:{SECRET}")[8:20]]),
    "in hex": (SECRET.encode().hex(), [SECRET.encode().hex()[8:20]]),
    "over two lines": (f"{SECRET[:12]}\n    {SECRET[12:]}", ["S3cret", "5c 1f"]),
    "over two lines of JSON": (f'"{SECRET[:12]}\\n{SECRET[12:]}"', ["S3cret"]),
    "in base64 over two lines": (f"{b64(SECRET)[:20]}\n{b64(SECRET)[20:]}", [b64(SECRET)[4:18]]),
    "over two strings": (f'"{SECRET[:12]}" + "{SECRET[12:]}"', ["S3cret"]),
}  # fmt: skip
# Names of options in an rclone.conf.
NAMES = ["bearer_token", "sas_url", "private_key", "client_secret", "access_grant", "connection_string", "mnemonic"]
# Secrets recognized by their form: name -> (the text, the part that must not remain).
FORMS: dict[str, tuple[str, str]] = {
    "a web hook": (f"Post https://hooks.slack.example/services/T000/B000/{TOKEN}: no route", "B000"),
    "a bot's address": (f"GET https://api.chat.example/bot123456:{TOKEN}/send", TOKEN),
    "a path that looks random": (f"https://drop.example/s/{TOKEN}/file.txt", TOKEN),
    "a SAS": (f"https://a.blob.core.windows.net/c/f?sv=2024&se=2027&sig={TOKEN}%3D", TOKEN),
    "a signed address of S3": (f"https://s3.example/k?X-Amz-Credential={TOKEN}%2F&X-Amz-Signature=5c1f77", "5c1f77"),
    "an old signed address": (f"https://b.s3.amazonaws.com/k?AWSAccessKeyId={TOKEN}&Signature=5c1f77", TOKEN),
    "a JSON Web Token": (f"the token {JWT} is over", "cGxhbn"),
    "a bearer's header": (f"Authorization: Bearer {TOKEN}", TOKEN),
    "a basic header in a printed request": (f"{{'Authorization': 'Basic {b64('u:planted')}'}}", b64("u:planted")),
    "a key file": (f"cannot parse {PEM}", "planted"),
    "half a key file": (f"cannot parse {PEM[:60]}", "MIIEv"),
    "a key file in JSON": (json.dumps({"private_key": PEM}), "planted"),
    "the text of an exception": (f"ClientSecretCredential(client_secret='{TOKEN}')", TOKEN),
    "a JSON answer": (f'{{"access_token": "{TOKEN}", "expires_in": 3599}}', TOKEN),
    "Prefect's key": (f"key pnu_{TOKEN} is unknown", TOKEN),
    "a user in an address": (f"https://machine:{TOKEN}@prefect.example/api", TOKEN),
    "an environment": (f"PREFECT_API_AUTH_STRING=machine:{TOKEN}", TOKEN),
}  # fmt: skip
# Ordinary lines, which must not be changed.
ORDINARY = [
    "exit status 3: basic authentication failed, the bearer token has expired",
    "the access key is unknown; give another password or token",
    "https://prefect.example/api/flow_runs/0a1b2c3d-0000-4000-8000-00000000000f/state",
    "sw-0123456789ab/checkpoint/001-00007/integrals.npz: sha256 " + "0a1b2c3d" * 8,
    "max_tokens=4096 env_auth=true key_file=/home/me/key.pem auth_url=https://login.example/v3",
    "SIGTERM: signal=15, sigma=0.25, assigned=yes, design=3, monkey",
    "rclone copyto: directory not found: drive:spotwave/results of the year/2026",
    "Unrecognized client; the security header names another region: us-east-1",
]
HALF = [
    "pl+nted/S3cret=/word~5c 1f7",
    "p ",
    "%70%6c%2b",
    "\\u0070\\\\\\\\",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    "://a",
    "://hooks.",
    "Authorization: ",
    "Bearer ",
    "token=",
    '"key": "',
    "/bot1:",
    "a.b-c_",
    "&#x26;&amp;",
    "cGwrbnRlZC9TM2NyZXQ9L3dvcmR+NWMg",
    " \n\t'\"",
]
_ROWS = {
    **{f"known secret: {name}": name for name in WRITTEN},
    **{f"rclone.conf: its option {name}": name for name in NAMES},
    **{f"unknown secret: {name}": name for name in FORMS},
}
ROWS = [Row("output of programs", attack, "replaced by ***, the rest of the line is kept") for attack in _ROWS]
ROWS += [
    Row("output of programs", "1 MB of half secrets, quotes and beginnings of keys", "read within seconds"),
    Row("rclone.conf", "every option that rclone itself calls a password", "is treated as a secret"),
    Row("agent's log", "the attempt's token in an exception", "replaced by ***, also in agent.log"),
    Row("SDK's exception", "a signed address in a cloud's error", "replaced by ***"),
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rclone.conf"
    path.write_text(f"[dav]\ntype = webdav\nuser = somebody\npass = {SECRET}\n")
    return path


@pytest.mark.parametrize("name", WRITTEN)
def test_known_secret_is_redacted(name: str, config: Path) -> None:
    text, gone = WRITTEN[name]
    redacted = redactor(config)(f"Failed to copy: {text} is refused by dav.example")
    assert redacted.startswith("Failed to copy: "), redacted
    assert redacted.endswith(" is refused by dav.example"), redacted
    assert "***" in redacted
    assert not [one for one in gone if one in redacted], redacted


@pytest.mark.parametrize("name", NAMES)
def test_rclone_option_is_redacted(name: str, tmp_path: Path) -> None:
    value = {
        "sas_url": f"https://a.blob.core.windows.net/c?sv=2024&sig={TOKEN}",
        "connection_string": f"AccountName=somebody;AccountKey={TOKEN};Suffix=core",
    }.get(name, TOKEN)
    (tmp_path / "rclone.conf").write_text(f"[it]\ntype = any\n{name} = {value}\n")
    redacted = redactor(tmp_path / "rclone.conf")(f"it says {TOKEN} is stale")
    assert redacted == "it says *** is stale"


@pytest.mark.parametrize("name", FORMS)
def test_unknown_secret_is_redacted_by_its_form(name: str) -> None:
    text, gone = FORMS[name]
    redacted = without_secrets(text)
    assert gone not in redacted, redacted
    assert "***" in redacted


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_unchanged(text: str, config: Path) -> None:
    switches = secrets_of({"pass": "on", "token": "true", "key_file": "/home/me/key.pem"})
    assert redactor(config, switches)(text) == text


def test_rclone_password_options_are_secrets() -> None:
    redacted = subprocess.run([rclone_binary(), "config", "providers"], capture_output=True, check=True, timeout=60)
    options = [option for provider in json.loads(redacted.stdout) for option in provider["Options"]]
    passwords = {option["Name"] for option in options if option["IsPassword"]}
    assert len(passwords) > 10
    assert {name for name in passwords if not names_a_secret(name)} == set()
    # Of the options that rclone calls sensitive, only those with such names: others are users, addresses, folder ids.
    words = ("secret", "token", "password", "private", "credential", "mnemonic", "grant", "pem", "cookie", "session")
    sensitive = {option["Name"] for option in options if option["Sensitive"]}
    by_name = {name for name in sensitive if any(word in name for word in words)}
    assert {name for name in by_name if not names_a_secret(name)} == set()


def test_redaction_of_a_megabyte_is_fast(config: Path) -> None:
    text = "".join(one * (1_000_000 // len(HALF) // len(one)) for one in HALF)
    scrub, started = redactor(config), time.process_time()
    scrub(text)
    assert time.process_time() - started < 10, "linear: a second or two"


def test_agent_log_has_no_api_secret(config: Path) -> None:
    scrub = redactor(
        config, secrets_of({"PREFECT_API_AUTH_STRING": f"machine:{TOKEN}", "PREFECT_API_URL": "https://x"})
    )
    try:
        raise OSError(f"401 for {b64(f'machine:{TOKEN}')}")
    except OSError:
        record = logging.LogRecord("agent", logging.ERROR, "", 1, "told %s", (TOKEN,), sys.exc_info())
    assert RedactedLog(scrub).filter(record)
    redacted = logging.Formatter("%(message)s").format(record)
    assert redacted.startswith("told ***")
    assert "401 for ***" in redacted
    assert TOKEN not in redacted
    assert b64(f"machine:{TOKEN}")[12:24] not in redacted


def test_cloud_error_has_no_signed_address() -> None:
    refused = Misconfigured(f"403 for https://s.example/k?X-Amz-Signature={TOKEN}&x=1: not allowed")
    assert str(refused) == refused.reason == "403 for https://s.example/k?X-Amz-Signature=***&x=1: not allowed"
