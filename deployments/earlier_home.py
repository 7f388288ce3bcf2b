"""Migration of an earlier version's state: the folder `.spotwave` of a checkout moves to the user's home at `up`.

    ~/spotwave/.spotwave  ->  ~/.local/state/spotwave

Nothing is moved while processes of the old home run, if the new home has state already, or if SPOTWAVE_HOME is set: a
home that the user chose stays separate. Block documents can be updated only when the server runs: a note in the home
records the move, and deployments/documents.py updates them.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from spotwave.blocks.home import ENV_HOME
from spotwave.deployments import server
from spotwave.deployments.api import remove_prefect_toml
from spotwave.deployments.earlier_version import refuse_unfinished_in
from spotwave.deployments.home import ROOT, Home, flocked
from spotwave.deployments.processes import marked
from spotwave.deployments.report import Report
from spotwave.deployments.unavailable import Unavailable
from spotwave.node.contract import write_text

_NAME = ".spotwave"
_PARTS = ("prefect", "secrets", "store", "remote")  # one of them is in every home that was ever used


def earlier_homes(checkout: Path = ROOT) -> list[Path]:
    """Return homes of an earlier version in the working directory and in the checkout of the installed package."""
    if os.environ.get(ENV_HOME):
        return []
    places = [Path(os.path.realpath(".")) if os.path.exists(".") else checkout, checkout]
    return [place / _NAME for place in dict.fromkeys(places) if _is_home(place / _NAME)]


def move_earlier(home: Home, report: Report, checkout: Path = ROOT) -> None:
    """Move the state of an earlier version into the home if there is any, and report each move.

    The caller must not hold the home's lock, because the lock would create the home. Raises Unavailable if processes
    of the old home run or it cannot be moved: a new home created now would prevent the move later.
    """
    for old in earlier_homes(checkout):
        if old != home.path:
            _move(old, home, report)


def still_running(home: Home, checkout: Path = ROOT) -> list[str]:
    """Return a line for each home of an earlier version with running processes, which `down` does not end."""
    return [_running_message(old) for old in earlier_homes(checkout) if old != home.path and _is_running(old)]


def _move(old: Path, home: Home, report: Report) -> None:
    (old / "run").mkdir(mode=0o700, exist_ok=True)
    with flocked(old / "run" / "lock"):  # also used by `up` and `down` of the earlier version
        if not _is_home(old):
            return  # another `up` has moved it
        if not _is_empty(home.path):
            report(
                f"the state of an earlier version in {old} was not moved, because {home.path} is in use. To use "
                f"it, set {ENV_HOME}={old}; if you do not need it, remove it"
            )
            return
        if _is_running(old):
            raise Unavailable(f"{_running_message(old)}, then repeat this command: it moves the state to {home.path}.")
        if server.on_sqlite(Home(old)):
            refuse_unfinished_in(Home(old).prefect / "prefect.db")
        note = old / "run" / Home(old).moved_from.name
        write_text(note, str(old))
        try:
            _relocate(old, home.path)
        except (OSError, shutil.Error) as error:
            note.unlink(missing_ok=True)
            raise Unavailable(
                f"The state of an earlier version in {old} cannot be moved to {home.path} ({_reason(error)}). Make "
                f"that path writable, or set {ENV_HOME}={old} to use the state in its present place."
            ) from error
        remove_prefect_toml(old.parent)
        report(f"state of an earlier version moved from {old} to {home.path}")


def _relocate(old: Path, new: Path) -> None:
    """Rename the folder, or copy it if it is on another file system. Raises OSError, shutil.Error."""
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if new.exists():
        shutil.rmtree(new)  # contains only empty folders
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        move_by_copy(old, new)


def move_by_copy(old: Path, new: Path) -> None:
    """Move the folder by copy and comparison: `new` is complete or does not exist. Raises OSError, shutil.Error."""
    part = new.with_name(f".{new.name}.part-{os.getpid()}")
    try:
        shutil.copytree(old, part, symlinks=True, ignore=_special)
        for path in _files(old):
            twin = part / path.relative_to(old)
            if path.is_symlink() != twin.is_symlink() or not (
                path.is_symlink() or filecmp.cmp(path, twin, shallow=False)
            ):
                raise OSError(errno.EIO, "the copy differs from the original", str(path))
        part.rename(new)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)  # if it cannot be removed, the next `up` reports it


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if not _is_special(Path(parent, name)))


def _special(folder: str, names: list[str]) -> list[str]:
    """Return the pipes and sockets, which terminated machines leave and which have no content to copy."""
    return [name for name in names if _is_special(Path(folder, name))]


def _is_special(path: Path) -> bool:
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _is_home(folder: Path) -> bool:
    """Return whether the folder is a home of this user, and not a link."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and any((folder / part).is_dir() for part in _PARTS)


def _is_empty(folder: Path) -> bool:
    """Return whether the folder contains no file but a lock, as after an `up` that failed."""
    return all(path.name == "lock" for path in _files(folder)) if folder.exists() else True


def _is_running(old: Path) -> bool:
    return bool(marked(old, machines=False) or marked(old, machines=True))


def _running_message(old: Path) -> str:
    return (
        f"Processes of an earlier version still run, with their state in {old}. When its jobs have ended, run "
        f"`{ENV_HOME}={old} spotwave down`"
    )


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())[:200]
