"""What rclone says, fit to be shown: its last meaningful line, without any secret of its configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:[A-Z]+ *: *)?")
_SENSITIVE = re.compile(r"pass|secret|token|key|credential|auth|sas|cookie|header|string", re.IGNORECASE)
_IN_URLS = (
    (re.compile(r"(?<=://)[^/@\s]+@"), "***@"),  # user:password@host
    (re.compile(r"(?i)((?:signature|sig|token|key|credential)=)[^&\s\"]+"), r"\1***"),
)
_SHORTEST = 4  # shorter "secrets" (true, off) would blank out ordinary words


def last_line(told: str) -> str:
    """The line of rclone's messages that says why it failed; '' if it said nothing."""
    lines = [_STAMP.sub("", line).strip() for line in told.splitlines()]
    lines = [line for line in lines if line]
    final = [line for line in lines if line.startswith("Failed to")]
    return (final or lines or [""])[-1]


def scrubber(config: Path | None) -> Callable[[str], str]:
    """A function that blanks out the secrets of an rclone.conf, and credentials in addresses."""
    secrets = sorted(set(_secrets(config)) if config else (), key=len, reverse=True)

    def scrub(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        for pattern, replacement in _IN_URLS:
            text = pattern.sub(replacement, text)
        return text

    return scrub


def _secrets(config: Path) -> Iterator[str]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(config)
    except (ConfigError, UnicodeDecodeError):
        return  # encrypted or broken: rclone says so itself, and quotes none of it
    for section in parser.sections():
        for key, value in parser.items(section):
            if _SENSITIVE.search(key) and len(value) >= _SHORTEST:
                yield value
                yield from _inside(value)


def _inside(value: str) -> Iterator[str]:
    """The strings of a token that is itself a JSON object (OAuth, service accounts)."""
    try:
        data = json.loads(value)
    except ValueError:
        return
    if isinstance(data, dict):
        yield from (part for part in data.values() if isinstance(part, str) and len(part) >= 2 * _SHORTEST)
