"""Manifest of a checkpoint, and the check that its files are unchanged since they were sealed."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spotwave.node.contract import GENERATION, MANIFEST_FILE
from spotwave.node.untrusted.file_names import can_travel
from spotwave.node.untrusted.own_files import is_regular
from spotwave.node.untrusted.strict_json import BadJson, load_object, read_file
from spotwave.node.untrusted.strict_model import MOST_BYTES, Rule, named, number, said, table, whole

_CHUNK = 1 << 20
MANIFEST_BYTES = 8 << 20
MOST_FILES = 20_000
_RULES: dict[str, Rule] = {"generation": named(GENERATION), "made_at": number(), "step": said(), "facts": table}
_SIZE, _SHA256 = whole(0, MOST_BYTES), named(r"[0-9a-f]{64}")


class CheckpointCorrupt(Exception):
    """A generation is damaged. The message names it and the problem."""


@dataclass(frozen=True)
class FileMark:
    """A file's size in bytes and its sha256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Content of a generation. `made_at` is in Unix seconds; `facts` is JSON of the task that made it."""

    generation: str
    made_at: float
    step: str
    facts: dict[str, Any]
    files: dict[str, FileMark]

    def to_json(self) -> str:
        """Return JSON with a checksum of itself, so that damage to the manifest is detected like damage to a file."""
        data = asdict(self)
        return json.dumps({**data, "seal": _digest(data)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Parse a manifest. Raises CheckpointCorrupt if it is damaged or invalid."""
        try:
            data = load_object(text, MANIFEST_BYTES)
            seal = data.pop("seal")
            if seal != _digest(data):
                raise CheckpointCorrupt("its manifest is damaged")
            files = {_inside(name): _mark(mark) for name, mark in table(data.pop("files")).items()}
            if len(files) > MOST_FILES:
                raise ValueError(f"more than {MOST_FILES} files")
            fields = {name: rule(data[name]) for name, rule in _RULES.items()}
            return cls(files=files, **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointCorrupt(f"its manifest cannot be read: {error}") from error


def _mark(value: Any) -> FileMark:
    return FileMark(_SIZE(table(value)["size"]), _SHA256(value["sha256"]))


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _inside(name: str) -> str:
    """Return `name` if it is inside the generation's folder, by the same rule as when sealing.

    Anyone with access to the remote can write a manifest, which must not lead to other files.
    """
    if not can_travel(name) or name == MANIFEST_FILE:
        raise CheckpointCorrupt(f"its manifest names {name[:60]!r}, which is not a valid file name")
    return name


def hash_file(path: Path) -> str:
    """Return the sha256 of a file of any size, in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a generation's folder, without a check of the files. Raises CheckpointCorrupt."""
    if not is_regular(path / MANIFEST_FILE):  # a program may have put a pipe there, whose reading would never end
        raise CheckpointCorrupt("it has no manifest")
    try:
        return Manifest.from_json(read_file(path / MANIFEST_FILE, MANIFEST_BYTES))
    except FileNotFoundError:
        raise CheckpointCorrupt("it has no manifest") from None
    except BadJson as error:
        raise CheckpointCorrupt(f"its manifest cannot be read: {error}") from error


def verify(path: Path, generation: str | None = None) -> Manifest:
    """Read every file of a generation and compare it with the manifest. `generation`: its expected name, if given.

    Raises CheckpointCorrupt for the first file that is missing or differs.
    """
    manifest = read_manifest(path)
    if generation is not None and manifest.generation != generation:
        raise CheckpointCorrupt(f"its manifest is that of {manifest.generation}")
    for name, mark in manifest.files.items():
        file = path / name
        try:
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointCorrupt(f"{name} is not a regular file")
            size = status.st_size
            if size != mark.size:
                raise CheckpointCorrupt(f"{name} has {size} bytes instead of {mark.size}")
            if hash_file(file) != mark.sha256:
                raise CheckpointCorrupt(f"{name} differs from the sealed file (sha256)")
        except FileNotFoundError:
            raise CheckpointCorrupt(f"{name} is missing") from None
    return manifest
