"""Checkpoints in numbered generations: sealed locally, verified on the remote, restored from the newest intact one.

A generation is a folder of files and a manifest with their sizes and checksums. On the machine and on the remote it is
stored in ``checkpoint/<generation>/``. ``checkpoint/LATEST`` on the remote names the newest verified one.

Files are sealed by hard link. A program must *replace* a file that it has sealed (temporary name, rename) and never
modify it in place. A file that was modified is detected by its checksum before anything is sent.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spotwave.node.contract import CHECKPOINT_DIR, LATEST_FILE, MANIFEST_FILE
from spotwave.node.storage.hardlinks import fsync, link
from spotwave.node.storage.manifest import (
    CheckpointCorrupt,
    FileMark,
    Manifest,
    hash_file,
    read_manifest,
    verify,
)
from spotwave.node.storage.remote import Entry, Remote, RemoteAbsent, RemoteDiffers, RemoteError
from spotwave.node.untrusted.file_names import can_travel, quoted, same_place
from spotwave.node.untrusted.own_files import folder_of_ours, is_folder, is_regular, remove_tree

__all__ = [
    "CheckpointCorrupt",
    "Manifest",
    "generation_name",
    "latest",
    "newest",
    "next_generation",
    "prune",
    "push",
    "read_manifest",
    "restore",
    "seal",
    "verify",
]

MOST_NAMED = 100  # omitted files listed in a checkpoint's facts
KEPT = 2  # generations kept: the newest and a fallback
_NAME = re.compile(r"(\d{3})-(\d{5})")
_KNOWN_GOOD = ".verified"  # file that lists the generations this machine has verified on the remote, one per line
_SENDING = ".sending-"


def generation_name(attempt: int, count: int) -> str:
    """Return a generation's name, e.g. '001-00007' for the seventh of the first attempt.

    Names sort in the order of creation, since attempts follow each other, and no two attempts share a name.
    Raises ValueError if `attempt` is not in 1..999 or `count` not in 1..99999.
    """
    if not (1 <= attempt <= 999 and 1 <= count <= 99999):
        raise ValueError(f"no generation name for attempt {attempt}, count {count}")
    return f"{attempt:03d}-{count:05d}"


def next_generation(folder: Path, attempt: int) -> str:
    """Return the name of the attempt's next generation, following those sealed in `folder`."""
    counts = [int(name[4:]) for name in _sealed(folder) if int(name[:3]) == attempt]
    return generation_name(attempt, max(counts, default=0) + 1)


def seal(
    folder: Path, generation: str, files: Mapping[str, Path], facts: Mapping[str, Any] | None = None, *, step: str = ""
) -> Path:
    """Make the generation `folder`/`generation` from `files` (name in the generation -> path), atomically.

    `facts` is JSON for the run that resumes (energies, hashes), `step` the task that made it. Keeps the two newest.
    Files whose names cannot be transferred are omitted and listed in the facts as `left_out`.
    Raises ValueError for an invalid generation or no files, FileExistsError if it is already sealed, OSError.
    """
    _checked(generation)
    files, left_out = _travelling(files)
    if not files:
        raise ValueError("a checkpoint needs at least one file")
    folder_of_ours(folder)
    target = folder / generation
    if target.exists():
        raise FileExistsError(f"checkpoint {generation} is already sealed")
    draft = folder / f".sealing-{generation}-{os.getpid()}"
    remove_tree(draft)
    try:
        marks = {}
        for name, source in files.items():
            copy = draft / name
            link(source, copy)
            marks[name] = FileMark(copy.stat().st_size, hash_file(copy))
            fsync(copy)
        manifest = Manifest(generation, time.time(), step, dict(facts or {}) | left_out, marks)
        (draft / MANIFEST_FILE).write_text(manifest.to_json())
        for path in (draft / MANIFEST_FILE, draft):
            fsync(path)
        draft.rename(target)
        fsync(folder)
    finally:
        remove_tree(draft)
    prune(folder)
    return target


def newest(folder: Path) -> Path | None:
    """Return the folder of the newest sealed generation, or None."""
    names = _sealed(folder)
    return folder / names[-1] if names else None


def prune(folder: Path, keep: int = KEPT) -> None:
    """Remove all but the newest `keep` sealed generations on this machine."""
    for name in _sealed(folder)[:-keep]:
        remove_tree(folder / name)


def latest(remote: Remote) -> str | None:
    """Return the generation named by the remote's LATEST, or None. Raises RemoteError if the remote does not answer."""
    data = remote.read(LATEST_FILE)
    name = data.decode(errors="replace").strip() if data else ""
    return name if _NAME.fullmatch(name) else None


def push(remote: Remote, folder: Path, generation: str) -> bool:
    """Send a sealed generation, verify it on the remote, update LATEST, then remove older generations there.

    Return False, without a change of LATEST, if the remote already holds a newer generation: a slow attempt must not
    overwrite its successor. Raises CheckpointCorrupt if the local files differ from the sealed ones or were pruned,
    RemoteError, OSError.
    """
    _checked(generation)
    before = latest(remote)
    if before is not None and before > generation:
        return False
    sending = folder / f"{_SENDING}{generation}"
    remove_tree(sending)
    try:
        # Link the files to a separate folder first, since sealing continues meanwhile and prunes. Only sealed files.
        try:
            names = [*read_manifest(folder / generation).files, MANIFEST_FILE]
            for name in names:
                if not is_regular(folder / generation / name):
                    raise CheckpointCorrupt(f"checkpoint {generation}: {name} is missing or not a regular file")
                link(folder / generation / name, sending / name)
        except FileNotFoundError as error:
            raise CheckpointCorrupt(f"checkpoint {generation} has been removed") from error
        verify(sending)
        there = f"{CHECKPOINT_DIR}/{generation}"
        remote.upload(sending, there, names=names)
        try:
            remote.verify(sending, there, names=names)
        except RemoteDiffers:
            remote.purge(there)
            raise
    finally:
        remove_tree(sending)
    now = latest(remote)  # read again: the upload may have taken minutes
    if now is not None and now > generation:
        return False
    if now != generation:
        remote.write(LATEST_FILE, f"{generation}\n".encode())
    known = _known_good(folder)
    fallback = next((name for name in known if name < generation), before)
    _note_good(folder, [generation, *known])
    for name in _on_remote(remote):
        if name < generation and name != fallback:
            remote.purge(f"{CHECKPOINT_DIR}/{name}")
    return True


def restore(remote: Remote, folder: Path, log: Callable[[str], object] = lambda line: None) -> Manifest | None:
    """Fetch the newest intact generation into `folder`: the one in LATEST first, then the others, newest first.

    `log` is called with each skipped generation and the reason. Return None if the remote holds no checkpoint and
    LATEST names none. Raises RemoteError if the remote does not answer (which does not mean "no checkpoint"),
    CheckpointCorrupt if LATEST names a checkpoint and none is intact.
    """
    promised = latest(remote)
    names = sorted(_on_remote(remote), reverse=True)
    if promised is not None:
        if promised not in names:
            log(f"checkpoint {promised} is skipped: LATEST names it, but it does not exist")
        names.sort(key=lambda name: name == promised, reverse=True)  # stable: the others stay newest first
    failure: RemoteError | None = None
    for name in names:
        try:
            manifest = _fetch(remote, folder, name)
        except (CheckpointCorrupt, RemoteAbsent) as error:
            log(f"checkpoint {name} is skipped: {error}")
        except RemoteError as error:
            remote.list(CHECKPOINT_DIR)  # raises if the remote is unreachable
            log(f"checkpoint {name} is skipped: {error}")
            failure = error
        else:
            _note_good(folder, [name])
            return manifest
    if failure is not None:
        raise failure
    if promised is not None:
        raise CheckpointCorrupt(f"LATEST names {promised}, but all checkpoints on the remote are damaged")
    return None


def _fetch(remote: Remote, folder: Path, generation: str) -> Manifest:
    draft = folder / f".restoring-{generation}"
    remove_tree(draft)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        there = f"{CHECKPOINT_DIR}/{generation}"
        content = remote.read(f"{there}/{MANIFEST_FILE}")
        if content is None:
            raise CheckpointCorrupt("it has no manifest")
        # Fetch only the sealed files, whatever else the folder contains.
        sealed = [Entry(name, mark.size, is_dir=False) for name, mark in Manifest.from_json(content).files.items()]
        remote.fetch(there, [*sealed, Entry(MANIFEST_FILE, len(content), is_dir=False)], draft)
        manifest = verify(draft, generation)
        remove_tree(folder / generation)
        draft.rename(folder / generation)
    finally:
        remove_tree(draft)
    return manifest


def _on_remote(remote: Remote) -> list[str]:
    return sorted(e.path for e in remote.list(CHECKPOINT_DIR) if e.is_dir and _NAME.fullmatch(e.path))


def _sealed(folder: Path) -> list[str]:
    if not is_folder(folder):
        return []
    # Sealed generations have a manifest. A program may create other entries with such a name: ignore them.
    names = (path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return sorted(name for name in names if is_regular(folder / name / MANIFEST_FILE))


def _known_good(folder: Path) -> list[str]:
    """Return verified generations, newest first. One that failed its check on the remote must not be the fallback."""
    path = folder / _KNOWN_GOOD
    return sorted(path.read_text().split(), reverse=True) if path.exists() else []


def _note_good(folder: Path, names: list[str]) -> None:
    part = folder / f"{_KNOWN_GOOD}.part"
    part.write_text("\n".join(sorted(set(names), reverse=True)[:KEPT]))
    part.replace(folder / _KNOWN_GOOD)


def _checked(generation: str) -> None:
    if not _NAME.fullmatch(generation):
        raise ValueError(f"{generation!r} is not a generation name (such as 001-00007)")


def _travelling(files: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Return the files whose names can be transferred, and the facts that list the others."""
    chosen: dict[str, Path] = {}
    places = {MANIFEST_FILE}
    left_out = []
    for name in sorted(files, key=lambda one: (not can_travel(one), one)):
        if not can_travel(name) or same_place(name) in places:
            left_out.append(quoted(name))
        else:
            chosen[name] = files[name]
            places.add(same_place(name))
    return chosen, {"left_out": left_out[:MOST_NAMED]} if left_out else {}
