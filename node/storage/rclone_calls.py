"""Calls of rclone for one remote: common arguments, features of the backend, answers and errors."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from spotwave.node.storage.rclone_run import RemoteError, run
from spotwave.node.storage.redact import last_line, redactor
from spotwave.node.untrusted.plain_text import plain
from spotwave.node.untrusted.strict_json import BadJson, load

ABSENT_CODES = (3, 4)  #: directory not found, file not found
_NO_MODTIME_NS = 10**18  # rclone reports "no modification times" as a precision of a hundred years
_LISTING_BYTES = 16 << 20  # some hundred thousand names


class RemoteAbsent(RemoteError):
    """The remote answered that the file or folder does not exist."""


class RcloneCalls:
    """A backend and a folder on it."""

    def __init__(
        self,
        binary: str | Path,
        config: Path | None,
        root: str,
        *,
        call_s: float = 120.0,
        transfer_s: float = 3600.0,
    ) -> None:
        if root.startswith("-") or "\0" in root:  # rclone would take the former for an option; NUL cannot be passed
            raise ValueError(f"{root[:60]!r} is not a valid remote folder: it starts with '-' or contains NUL")
        self.binary = str(binary)
        self.config = config if config and config.is_file() else None
        self.root = root if root.endswith(":") else root.rstrip("/") or "/"
        self.call_s = call_s
        self.transfer_s = transfer_s
        self._scrub = redactor(self.config)

    def at(self, rel: str) -> str:
        """Return a path in rclone's syntax. Raises ValueError if it is outside the remote's folder."""
        path = PurePosixPath(rel)
        if path.is_absolute() or ".." in path.parts or "\0" in rel:
            raise ValueError(f"{rel!r} is not a path below the remote's folder")
        if not path.parts:
            return self.root
        return f"{self.root}{'' if self.root.endswith((':', '/')) else '/'}{path}"

    @cached_property
    def _features(self) -> Mapping[str, object]:
        head = re.match(r"[^/:]+:", self.root)  # the whole backend: its folder may not exist yet
        output = self._checked("backend", ["features", head[0] if head else self.root], self.call_s).stdout
        features: Mapping[str, object] = self._json("backend", output)
        return features

    @property
    def _hash_types(self) -> list[str]:
        known = self._features.get("Hashes")
        return [str(kind) for kind in known if kind != "none"] if isinstance(known, Sequence) else []

    @property
    def _comparison(self) -> list[str]:
        """Flags to detect changed files if the backend keeps no times: equal sizes prove nothing."""
        if int(str(self._features.get("Precision") or 0)) < _NO_MODTIME_NS:
            return []
        return ["--checksum"] if self._hash_types else ["--ignore-times"]

    def _is_file(self, rel: str) -> bool:
        item = self._stat(rel)
        return item is not None and not item["IsDir"]

    def _stat(self, rel: str) -> Mapping[str, object] | None:
        """Return the item at `rel`, or None. An object store reports any missing item as a folder."""
        done = self._run("lsjson", ["--stat", "--no-modtime", self.at(rel)], self.call_s)
        if done.returncode in ABSENT_CODES:
            return None
        if done.returncode:
            raise self._error("lsjson", done)
        item: Mapping[str, object] | None = self._json("lsjson", done.stdout or b"null")
        return item

    def _lsjson(self, rel: str, flags: Sequence[str]) -> list[dict[str, Any]]:
        done = self._run("lsjson", [*flags, self.at(rel)], self.call_s)
        if done.returncode in ABSENT_CODES:
            return []
        if done.returncode:
            raise self._error("lsjson", done)
        rows: list[dict[str, Any]] = self._json("lsjson", done.stdout)
        return rows

    @staticmethod
    def _json(verb: str, output: bytes) -> Any:
        try:
            return load(output, _LISTING_BYTES)
        except BadJson as error:
            raise RemoteError(f"rclone {verb}: invalid output: {error}") from error

    def _checked(self, verb: str, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
        done = self._run(verb, arguments, timeout_s)
        if done.returncode:
            raise self._error(verb, done)
        return done

    def _error(self, verb: str, done: subprocess.CompletedProcess[bytes]) -> RemoteError:
        kind = RemoteAbsent if done.returncode in ABSENT_CODES else RemoteError
        message = plain(last_line(done.stderr.decode(errors="replace"))) or f"exit code {done.returncode}"
        return kind(self._scrub(f"rclone {verb}: {message}"))

    def _run(
        self,
        verb: str,
        arguments: Sequence[str],
        timeout_s: float,
        stdin: bytes = b"",
        most_bytes: int = _LISTING_BYTES,
    ) -> subprocess.CompletedProcess[bytes]:
        return run(self.binary, self.config, verb, arguments, timeout_s, stdin, most_bytes)
