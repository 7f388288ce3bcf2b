"""Detect secrets by their form: credentials in addresses, headers and key files.

Every pattern runs in linear time: none starts in the middle of a word, and none backtracks into a repetition.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# Names of settings, query fields and headers whose value is a secret.
_NAMES = re.compile(
    r"pass|pwd|secret|token|key|credential|auth|cookie|connection_string|bearer|grant|mnemonic|session|jwt|private"
    r"|signature|^headers$|(?:^|[_.-])(?:sig|sas|otp)(?:$|[_.-])",
    re.IGNORECASE,
)
# Names that match _NAMES but hold no secret: locations, kinds, expiry times.
_HARMLESS = re.compile(
    r"(?:^|_|-)(?:ur[il]|file|version|type|kind|expiry|duration|expires|algorithms?|only|agent|exchange|retention)$"
    r"|^(?:ask_password|env_auth|pin_host_key|pass_bad_blocks|passed|keys|key_?vault|author(?:ity)?|client_credentials)$",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"(?i)true|false|none|null|off|yes|\*+|\d{1,5}")

_NAMED = re.compile(r"""(?<![\w.%-])([\w.%-]{1,64}+)(=\\?["']?+|%3[Dd])([^&\s"'<>,;\\]++)""")
_QUOTED = re.compile(r"""(?<![\w.%-])([\w.%-]{1,64}+)(\\?["']\s{0,3}+:\s{0,3}+\\?["'])([^"'\\\r\n]++)""")
_HEADER = re.compile(r"(?i)(?<![\w-])((?:proxy-)?authorization\\?[\"']?\s{0,3}+[:=,]\s{0,3}+\\?[\"']?)([^\r\n\"'\\]++)")
_SCHEME = re.compile(r"(?i)(?<![\w-])((?:bearer|basic|negotiate|sharedkey(?:lite)?)(?:[ :]|%20|\+))([\w+/=.~:%-]{8,}+)")
_RANDOM = re.compile(r"[0-9+/=_]|.[A-Z]")  # an ordinary word has no digit, and a capital only at its start
_USER = re.compile(r"(?<=://)[^/@\s]++@")
_HOOK = re.compile(r"(?i)(://hooks?\.[\w.-]{1,200}+(?::\d{1,5}+)?/)[^\s\"'?#<>]++")
_BOT = re.compile(r"(/bot)\d{3,20}+(?::|%3[Aa])[\w-]{8,}+")
_SEGMENT = re.compile(r"(?<=/)[\w~:-]{20,}+(?![\w.])")
_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL)
_TOKENS = re.compile(
    r"(?<![\w-])(?:eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?"  # JSON Web Tokens
    r"|(?:pn[ub]|gh[opsu]|github_pat|glpat|xox[abeprs]|sk|hf|npm)[-_][\w-]{16,}+"  # Prefect, GitHub, GitLab, Slack
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}+|ya29\.[\w.-]{10,}+|AIza[\w-]{30,}+|1//0[\w-]{20,}+)"  # AWS, Google
)


def names_a_secret(name: str) -> bool:
    """Return whether a setting, field or header of this name holds a secret."""
    return _NAMES.search(name) is not None and _HARMLESS.search(name) is None


def is_trivial(value: str) -> bool:
    """Return whether a value is a switch or a small number. Blanking those would spoil many unrelated lines."""
    return _PLAIN.fullmatch(value) is not None


def looks_random(word: str) -> bool:
    """Return whether a path segment looks like a secret: long and mixed. An id (UUID, digest) has no capitals."""
    return len(word) >= 20 and all(kind.search(word) for kind in _MIXED)


def without_secrets(text: str) -> str:
    """Return the text with everything that looks like a secret replaced by `***`."""
    text = _PEM.sub(HIDDEN, text)
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _HOOK.sub(rf"\1{HIDDEN}", text)
    text = _BOT.sub(rf"\1{HIDDEN}", text)
    text = _TOKENS.sub(HIDDEN, text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _SCHEME.sub(lambda m: m[1] + HIDDEN if _RANDOM.search(m[2]) else m[0], text)
    text = _SEGMENT.sub(lambda m: HIDDEN if looks_random(m[0]) else m[0], text)
    return _QUOTED.sub(_named, _NAMED.sub(_named, text))


def _named(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    return f"{name}{between}{HIDDEN}" if names_a_secret(name) and not is_trivial(value) else found[0]
