"""Checkpoints in generations: sealed here, verified there, restored from the newest that is whole.

A generation is a folder of files and a manifest with their sizes and checksums. On a machine it stands in
``checkpoint/<generation>/``, on the remote too, where ``checkpoint/LATEST`` names the newest verified one.

Files are sealed by hard link: a program must *replace* a file that it has sealed (temporary name, rename),
never write into it. One that did is found out by its checksum before anything is sent.
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
from spotwave.node.untrusted.file_names import can_travel, same_place
from spotwave.node.untrusted.file_names import told as quoted
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

MOST_NAMED = 100  # of the files that a checkpoint leaves out
KEPT = 2  # the newest, and the one to fall back to
_NAME = re.compile(r"(\d{3})-(\d{5})")
_KNOWN_GOOD = ".verified"  # generations that this machine has seen whole on the remote, one a line
_SENDING = ".sending-"


def generation_name(attempt: int, count: int) -> str:
    """E.g. '001-00007': the seventh of the first attempt.

    Names sort as they were made, since attempts follow each other, and no two attempts share one.
    Raises ValueError outside of 1..999 and 1..99999.
    """
    if not (1 <= attempt <= 999 and 1 <= count <= 99999):
        raise ValueError(f"no generation name for attempt {attempt}, count {count}")
    return f"{attempt:03d}-{count:05d}"


def next_generation(folder: Path, attempt: int) -> str:
    """The name of the attempt's next generation, judged by those sealed in `folder`."""
    counts = [int(name[4:]) for name in _sealed(folder) if int(name[:3]) == attempt]
    return generation_name(attempt, max(counts, default=0) + 1)


def seal(
    folder: Path, generation: str, files: Mapping[str, Path], facts: Mapping[str, Any] | None = None, *, step: str = ""
) -> Path:
    """Make `folder`/`generation` of `files` (name in the generation -> path), all of it or nothing.

    `facts` is JSON for whoever resumes (energies, hashes), `step` the task it came from. Keeps the two newest.
    A file whose name cannot travel is left out, and named in the facts as `left_out`: who resumes must not miss it.
    Raises ValueError for a bad generation or no files, FileExistsError for one sealed already, OSError.
    """
    _checked(generation)
    files, left_out = _travelling(files)
    if not files:
        raise ValueError("a checkpoint without files")
    folder_of_ours(folder)
    target = folder / generation
    if target.exists():
        raise FileExistsError(f"checkpoint {generation} is sealed already")
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
    """The newest sealed generation, or None."""
    names = _sealed(folder)
    return folder / names[-1] if names else None


def prune(folder: Path, keep: int = KEPT) -> None:
    """Remove all but the newest `keep` sealed generations of this machine."""
    for name in _sealed(folder)[:-keep]:
        remove_tree(folder / name)


def latest(remote: Remote) -> str | None:
    """The generation that the remote's LATEST names, or None. Raises RemoteError if the remote does not answer."""
    data = remote.read(LATEST_FILE)
    name = data.decode(errors="replace").strip() if data else ""
    return name if _NAME.fullmatch(name) else None


def push(remote: Remote, folder: Path, generation: str) -> bool:
    """Send a sealed generation, verify it there, let LATEST name it, then remove older ones there.

    False, and LATEST untouched, if the remote holds a newer one already: a slow attempt never overtakes its
    successor. Raises CheckpointCorrupt if the local files are not as sealed (or pruned), RemoteError, OSError.
    """
    _checked(generation)
    before = latest(remote)
    if before is not None and before > generation:
        return False
    sending = folder / f"{_SENDING}{generation}"
    remove_tree(sending)
    try:
        # Linked aside first: sealing goes on meanwhile and prunes. Only what was sealed: whatever else lies there.
        try:
            names = [*read_manifest(folder / generation).files, MANIFEST_FILE]
            for name in names:
                if not is_regular(folder / generation / name):
                    raise CheckpointCorrupt(f"checkpoint {generation} has no file {name}, or something in its place")
                link(folder / generation / name, sending / name)
        except FileNotFoundError as error:
            raise CheckpointCorrupt(f"checkpoint {generation} is no longer here") from error
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
    now = latest(remote)  # asked again: the upload may have taken minutes
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
    """Fetch the newest whole generation into `folder`: LATEST's first, then the others, newest first.

    `log` is told what is skipped and why. None if the remote holds no checkpoint (nor ever promised one).
    Raises RemoteError if it does not answer (that is not "no checkpoint"), CheckpointCorrupt if LATEST
    promises one and none is whole.
    """
    promised = latest(remote)
    names = sorted(_on_remote(remote), reverse=True)
    if promised is not None:
        if promised not in names:
            log(f"checkpoint {promised} is skipped: LATEST names it, but it is not there")
        names.sort(key=lambda name: name == promised, reverse=True)  # stable: the others stay newest first
    failure: RemoteError | None = None
    for name in names:
        try:
            manifest = _fetch(remote, folder, name)
        except (CheckpointCorrupt, RemoteAbsent) as error:
            log(f"checkpoint {name} is skipped: {error}")
        except RemoteError as error:
            remote.list(CHECKPOINT_DIR)  # raises if it is the remote that is away
            log(f"checkpoint {name} is skipped: {error}")
            failure = error
        else:
            _note_good(folder, [name])
            return manifest
    if failure is not None:
        raise failure
    if promised is not None:
        raise CheckpointCorrupt(f"LATEST names {promised}, but no checkpoint on the remote is whole")
    return None


def _fetch(remote: Remote, folder: Path, generation: str) -> Manifest:
    draft = folder / f".restoring-{generation}"
    remove_tree(draft)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        there = f"{CHECKPOINT_DIR}/{generation}"
        told = remote.read(f"{there}/{MANIFEST_FILE}")
        if told is None:
            raise CheckpointCorrupt("it has no manifest")
        # Only what was sealed: whatever else lies there, and under whatever name.
        sealed = [Entry(name, mark.size, is_dir=False) for name, mark in Manifest.from_json(told).files.items()]
        remote.fetch(there, [*sealed, Entry(MANIFEST_FILE, len(told), is_dir=False)], draft)
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
    # Sealed as a whole, manifest and all: what a program puts there under such a name is none of ours.
    names = (path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return sorted(name for name in names if is_regular(folder / name / MANIFEST_FILE))


def _known_good(folder: Path) -> list[str]:
    """Newest first. A generation that failed its check on the remote must not be the one to fall back to."""
    path = folder / _KNOWN_GOOD
    return sorted(path.read_text().split(), reverse=True) if path.exists() else []


def _note_good(folder: Path, names: list[str]) -> None:
    part = folder / f"{_KNOWN_GOOD}.part"
    part.write_text("\n".join(sorted(set(names), reverse=True)[:KEPT]))
    part.replace(folder / _KNOWN_GOOD)


def _checked(generation: str) -> None:
    if not _NAME.fullmatch(generation):
        raise ValueError(f"{generation!r} is no generation name (like 001-00007)")


def _travelling(files: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The files whose names can travel, and what the facts say of the others."""
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
