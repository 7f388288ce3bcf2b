"""Files of a store, in a folder or in a bucket of any object store that fsspec supports."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Object stores have no folders; asked to create one, s3fs would create the bucket, which is not wanted.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"}
Paths = list[str]  # alias, since `list` is a method of StoreFiles and hides the built-in in its annotations


class StoreUnavailable(OSError):
    """The store cannot be reached, read or written; the message names the field and the remedy."""


class StoreFiles:
    """All files below one address. Every method raises StoreUnavailable.

    url: as the user wrote it, for messages; place: the same for fsspec; options: passed to fsspec.
    """

    def __init__(self, url: str, place: str, options: dict[str, Any]) -> None:
        self.url = url
        self._place = place
        self._options = options

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs

        try:
            fs, root = url_to_fs(self._place, **self._options)
        except (ValueError, ImportError) as error:
            raise StoreUnavailable(
                f"url: '{self.url}' cannot be opened ({error}). Give a folder, or s3://, gs:// or abfs://."
            ) from error
        return fs, str(root).rstrip("/")

    @property
    def root(self) -> str:
        """Full path of the store, the prefix of all others."""
        return self._opened[1]

    def list(self, folder: str, ending: str) -> Paths:
        """Return the sorted full paths of the files in a folder; for the folder of a day, of its clouds' subfolders."""
        fs, root = self._opened
        try:
            fs.invalidate_cache()  # another process may have added some
            if ending == ".parquet" and "cloud=" not in folder:
                found = fs.glob(f"{root}/{folder}/cloud=*/*{ending}")
            else:
                found = fs.ls(f"{root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._trouble("read", error) from error
        return sorted(path for path in found if path.endswith(ending))

    def read(self, path: str) -> bytes:
        fs, _ = self._opened
        try:
            return bytes(fs.cat_file(path))
        except OSError as error:
            raise self._trouble("read", error) from error

    def write(self, name: str, content: bytes) -> str:
        fs, root = self._opened
        path = f"{root}/{name}"
        temporary = f"{path}.{uuid4().hex[:8]}.part"
        try:
            if not set(_names(fs)) & _WITHOUT_FOLDERS:
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(temporary, content)
            if fs.cat_file(temporary) != content:
                fs.rm_file(temporary)
                raise StoreUnavailable(f"url: data written to {self.url} reads back differently; nothing is kept")
            fs.mv(temporary, path)
        except StoreUnavailable:
            raise
        except OSError as error:
            with suppress(OSError):  # frees the space if the disk is full
                fs.rm_file(temporary)
            raise self._trouble("write", error) from error
        return path

    def remove(self, path: str) -> None:
        fs, _ = self._opened
        try:
            fs.rm_file(path)
        except FileNotFoundError:  # already removed by another process
            pass
        except OSError as error:
            raise self._trouble("write", error) from error

    def _trouble(self, what: str, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"url: cannot {what} {self.url}: {error}. Check the place and the block's options.")


def _names(fs: AbstractFileSystem) -> tuple[str, ...]:
    """Return the schemes of a file system, e.g. ("file", "local")."""
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
