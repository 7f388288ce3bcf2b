"""State of an earlier version: the folder `.spotwave` of a checkout, moved into the user's home at the next `up`.

    ~/spotwave/.spotwave  ->  ~/.local/state/spotwave

Nothing is moved while a process of it runs, into a home that has state already, or where SPOTWAVE_HOME names the home:
a home that was chosen stays apart from others. What the move leaves to do with the server running is noted in the
home, and done by deployments/documents.py.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from spotwave.blocks.home import ENV_HOME
from spotwave.deployments.api import remove_prefect_toml
from spotwave.deployments.earlier_version import refuse_unfinished_in
from spotwave.deployments.home import ROOT, Home, flocked
from spotwave.deployments.processes import marked
from spotwave.deployments.unavailable import Unavailable
from spotwave.node.contract import write_text

Say = Callable[[str], None]
_NAME = ".spotwave"
_PARTS = ("prefect", "secrets", "store", "remote")  # one of them is in every home that was ever used


def earlier_homes(checkout: Path = ROOT) -> list[Path]:
    """Homes of an earlier version in the working directory and in the checkout that the package is installed from."""
    if os.environ.get(ENV_HOME):
        return []
    places = [Path(os.path.realpath(".")) if os.path.exists(".") else checkout, checkout]
    return [place / _NAME for place in dict.fromkeys(places) if _is_home(place / _NAME)]


def move_earlier(home: Home, say: Say, checkout: Path = ROOT) -> None:
    """Move the state of an earlier version into the home, if there is such state; a line about each.

    The caller does not hold the home's lock, for which the home would have to exist. Raises Unavailable if processes of
    it run, or it cannot be moved: a home that is begun beside it would keep it from being moved later.
    """
    for old in earlier_homes(checkout):
        if old != home.path:
            _move(old, home, say)


def still_running(home: Home, checkout: Path = ROOT) -> list[str]:
    """A line for each home of an earlier version whose processes run: `down` for this home does not end them."""
    return [_running(old) for old in earlier_homes(checkout) if old != home.path and _is_running(old)]


def _move(old: Path, home: Home, say: Say) -> None:
    (old / "run").mkdir(mode=0o700, exist_ok=True)
    with flocked(old / "run" / "lock"):  # the one that `up` and `down` of the earlier version hold
        if not _is_home(old):
            return  # another `up` has moved it
        if _is_running(old):
            raise Unavailable(f"{_running(old)} Then call this again: it moves the state to {home.path}.")
        if not _is_empty(home.path):
            say(
                f"{old} has the state of an earlier version, and is left as it is, for {home.path} is in use. To use "
                f"that state set {ENV_HOME}={old}; if it is not needed, remove it"
            )
            return
        refuse_unfinished_in(Home(old).prefect / "prefect.db")
        note = old / "run" / Home(old).moved_from.name
        write_text(note, str(old))
        try:
            _relocate(old, home.path)
        except (OSError, shutil.Error) as error:
            note.unlink(missing_ok=True)
            raise Unavailable(
                f"The state of an earlier version, {old}, cannot be moved to {home.path} ({_reason(error)}). Free or "
                f"open that place, or set {ENV_HOME}={old} to use it where it is."
            ) from error
        remove_prefect_toml(old.parent)
        say(f"state of an earlier version moved from {old} to {home.path}")


def _relocate(old: Path, new: Path) -> None:
    """By renaming; on another file system by a copy that is compared first. Raises OSError, shutil.Error."""
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if new.exists():
        shutil.rmtree(new)  # folders without a file
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied(old, new)


def copied(old: Path, new: Path) -> None:
    """Move the folder by a verified copy: `new` is there as a whole or not at all. Raises OSError, shutil.Error."""
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
    shutil.rmtree(old, ignore_errors=True)  # what cannot be removed is shown at the next `up`


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if not _is_special(Path(parent, name)))


def _special(folder: str, names: list[str]) -> list[str]:
    """Pipes and sockets of machines that have ended: nothing in them to copy."""
    return [name for name in names if _is_special(Path(folder, name))]


def _is_special(path: Path) -> bool:
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _is_home(folder: Path) -> bool:
    """Whether it is a home, and this user's; not a link to one."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and any((folder / part).is_dir() for part in _PARTS)


def _is_empty(folder: Path) -> bool:
    """Whether it holds no file but a lock, as where no `up` has come to an end."""
    return all(path.name == "lock" for path in _files(folder)) if folder.exists() else True


def _is_running(old: Path) -> bool:
    return bool(marked(old, machines=False) or marked(old, machines=True))


def _running(old: Path) -> str:
    return (
        f"Processes of an earlier version run, with their state in {old}. When its jobs have ended, call "
        f"`{ENV_HOME}={old} spotwave down` (a job that has not ended is taken up again later)."
    )


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())[:200]
