"""A checkpoint's table of contents, and the proof that its files are as they were sealed."""

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
    """A generation is not whole: the message names it and what is wrong."""


@dataclass(frozen=True)
class FileMark:
    """A file's size in bytes and its sha256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a generation holds. `made_at` in Unix seconds; `facts` is JSON of the task that made it."""

    generation: str
    made_at: float
    step: str
    facts: dict[str, Any]
    files: dict[str, FileMark]

    def to_json(self) -> str:
        """With a checksum of itself, so that a damaged fact is found out like a damaged file."""
        data = asdict(self)
        return json.dumps({**data, "seal": _digest(data)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Raises CheckpointCorrupt for anything but an undamaged manifest."""
        try:
            data = load_object(text, MANIFEST_BYTES)
            seal = data.pop("seal")
            if seal != _digest(data):
                raise CheckpointCorrupt("its manifest is damaged")
            files = {_inside(name): _mark(mark) for name, mark in table(data.pop("files")).items()}
            if len(files) > MOST_FILES:
                raise ValueError(f"more than {MOST_FILES} files")
            told = {name: rule(data[name]) for name, rule in _RULES.items()}
            return cls(files=files, **told)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointCorrupt(f"its manifest cannot be read: {error}") from error


def _mark(told: Any) -> FileMark:
    return FileMark(_SIZE(table(told)["size"]), _SHA256(told["sha256"]))


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _inside(name: str) -> str:
    """Who owns the remote can write a manifest: it must not lead to files beside the generation's own. The rule is the
    one by which files are sealed."""
    if not can_travel(name) or name == MANIFEST_FILE:
        raise CheckpointCorrupt(f"its manifest names {name[:60]!r}, which is no file of it")
    return name


def hash_file(path: Path) -> str:
    """The sha256 of a file of any size, in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest in a generation's folder, files unchecked. Raises CheckpointCorrupt."""
    if not is_regular(path / MANIFEST_FILE):  # to read a pipe that a program put there would never end
        raise CheckpointCorrupt("it has no manifest")
    try:
        return Manifest.from_json(read_file(path / MANIFEST_FILE, MANIFEST_BYTES))
    except FileNotFoundError:
        raise CheckpointCorrupt("it has no manifest") from None
    except BadJson as error:
        raise CheckpointCorrupt(f"its manifest cannot be read: {error}") from error


def verify(path: Path, generation: str | None = None) -> Manifest:
    """Read every file of a generation (named `generation`, if given) and compare.

    Raises CheckpointCorrupt for the first that is missing or differs.
    """
    manifest = read_manifest(path)
    if generation is not None and manifest.generation != generation:
        raise CheckpointCorrupt(f"its manifest is that of {manifest.generation}")
    for name, mark in manifest.files.items():
        file = path / name
        try:
            told = file.lstat()
            if not stat.S_ISREG(told.st_mode):
                raise CheckpointCorrupt(f"{name} is no file")
            size = told.st_size
            if size != mark.size:
                raise CheckpointCorrupt(f"{name} has {size} bytes instead of {mark.size}")
            if hash_file(file) != mark.sha256:
                raise CheckpointCorrupt(f"{name} is not what was sealed (sha256)")
        except FileNotFoundError:
            raise CheckpointCorrupt(f"{name} is missing") from None
    return manifest
