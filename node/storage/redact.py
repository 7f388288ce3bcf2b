"""Prepare program output for display: rclone's last meaningful line, and texts without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from spotwave.node.storage.secret_patterns import is_trivial, looks_random, names_a_secret, without_secrets
from spotwave.node.storage.secret_search import SHORTEST, SHORTEST_SPLIT, Search

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:[A-Z]+ *: *)?")
_MANY = re.compile(r"[;,\s]+")  # separates the parts of `headers` and of a connection string
_LONG_LINE = 24  # a key may span several lines; each line of at least this length counts as a secret

Scrub = Callable[[str], str]


def last_line(messages: str) -> str:
    """Return the line of rclone's messages that gives the reason of the failure; '' if there is none."""
    lines = [_STAMP.sub("", line).strip() for line in messages.splitlines()]
    lines = [line for line in lines if line]
    final = [line for line in lines if line.startswith("Failed to")]
    return (final or lines or [""])[-1]


def redactor(config: Path | None, more: Iterable[str] = ()) -> Scrub:
    """Return a function that blanks the secrets of an rclone.conf and `more`, and texts that look like secrets."""
    search = Search([*(_secrets(config) if config else ()), *more])
    return lambda text: without_secrets(search.blanked(text))


def secrets_of(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield the secrets among settings, fields of a JSON object or options of an rclone.conf."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from secrets_of(value)
        elif isinstance(value, str):
            yield from _inside(name, value)


class RedactedLog(logging.Filter):
    """Logging filter that removes secrets from messages and tracebacks."""

    def __init__(self, scrub: Scrub) -> None:
        super().__init__()
        self._scrub = scrub

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._scrub(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._scrub(logging.Formatter().formatException(record.exc_info))
        return True


def _secrets(config: Path) -> Iterator[str]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(config)
    except (ConfigError, UnicodeDecodeError):
        return  # encrypted or broken: rclone reports that itself and quotes none of it
    for section in parser.sections():
        yield from secrets_of(dict(parser.items(section)))


def _inside(name: str, value: str) -> Iterator[str]:
    if "://" in value:
        yield from _of_address(value)
        if name.lower() == "sas_url":
            yield value
    if not names_a_secret(name) or is_trivial(value):
        return
    yield value
    try:
        data = json.loads(value)  # a token that is an object (OAuth, service accounts)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        yield from secrets_of(data)
        return
    yield from (line for line in value.splitlines() if len(line) >= _LONG_LINE)
    yield from (part for part in value.split(":", 1)[1:] if len(part) >= SHORTEST)  # user:password
    if name.lower() in ("headers", "connection_string"):
        for part in _MANY.split(value):
            _, _, of_field = part.partition("=")
            yield from (one for one in (part, of_field) if len(one) >= 2 * SHORTEST_SPLIT)


def _of_address(value: str) -> Iterator[str]:
    """Yield the password, the secret query fields and the path segments of an address that look like secrets."""
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
    yield from (found for name, found in parse_qsl(parts.query) if names_a_secret(name) and not is_trivial(found))
    yield from (part for part in parts.path.split("/") if looks_random(part))
