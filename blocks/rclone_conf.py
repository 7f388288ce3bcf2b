"""Parsing of an rclone.conf, and the one change to it that often helps."""

from __future__ import annotations

import re
from configparser import ConfigParser
from configparser import Error as ConfigError

# Before rclone sends a file it creates the bucket, unless this option says that the bucket exists. Keys that may not
# create buckets cannot write without the option
# (rclone's documentation, Amazon S3, --s3-no-check-bucket; `rclone config providers`).
_BUCKET_IS_THERE = {
    "s3": "no_check_bucket",
    "google cloud storage": "no_check_bucket",
    "oracleobjectstorage": "no_check_bucket",
    "azureblob": "no_check_container",
}
_HEADER = re.compile(r"^\[(.+)\]\s*$")


def parsed(config: str) -> ConfigParser | None:
    """Return the parsed config, None if it is invalid. The parser's exception is dropped, as it quotes a line."""
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(config)
    except ConfigError:
        return None
    return parser


def checking_buckets(config: str) -> dict[str, str]:
    """Return the sections for which rclone would create a bucket: {section: the option that prevents it}."""
    parser = parsed(config)
    if parser is None:
        return {}
    options = {name: _BUCKET_IS_THERE.get(parser[name].get("type", "")) for name in parser.sections()}
    return {
        name: option
        for name, option in options.items()
        if option is not None and parser[name].get(option, "").lower() != "true"
    }


def with_options(config: str, options: dict[str, str]) -> str:
    """Return the config with `option = true` in each of the sections, replacing any previous value."""
    lines: list[str] = []
    option: str | None = None
    for line in config.splitlines():
        header = _HEADER.match(line)
        if header:
            option = options.get(header[1])
        elif option is not None and line.partition("=")[0].strip() == option:
            continue
        lines.append(line)
        if header and option is not None:
            lines.append(f"{option} = true")
    return "\n".join(lines) + "\n"
