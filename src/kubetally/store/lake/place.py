"""Where a lake is: a folder of this machine, or a path in an object store."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import pyarrow.fs
from deltalake.fs import DeltaStorageHandler

from kubetally.store.lake.faults import InvalidLakeUrl, LakeForeign, LakeRefused, shown

OBJECT_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
"""Schemes that are passed on to the Delta library with their options."""

_SECRET = re.compile(r"secret|key|token|password|sas|credential|account", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A folder or an object store's path; `url` is fit to be shown, `target` and `options` are not."""

    url: str
    target: str = field(repr=False)
    folder: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, options: Mapping[str, str] | None = None) -> Self:
        """From a path, a file URL, or the URL of an object store with its storage options. Raises InvalidLakeUrl."""
        options = dict(options or {})
        scheme, separator, _ = url.partition("://")
        if not separator:
            return cls._of_folder(url, Path(url))
        parts = urlsplit(url)
        if scheme == "file":
            if parts.netloc not in {"", "localhost"}:
                raise InvalidLakeUrl(masked(url), "names another machine")
            return cls._of_folder(url, Path(unquote(parts.path)))
        if scheme not in OBJECT_STORES:
            raise InvalidLakeUrl(masked(url), "is of no kind that is known here")
        if parts.query or parts.fragment or parts.password is not None:
            raise InvalidLakeUrl(masked(url), "has more in it than a place")
        if not parts.netloc:
            raise InvalidLakeUrl(masked(url), "names no bucket")
        target = url.rstrip("/")
        return cls(target, target, None, options)

    @classmethod
    def _of_folder(cls, url: str, path: Path) -> Self:
        if not str(path).strip() or "\0" in url:
            raise InvalidLakeUrl(url, "names no folder")
        folder = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - links stay as they are
        return cls(str(folder), str(folder), folder)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be shown."""
        return tuple(value for name, value in self.options.items() if value and _SECRET.search(name))

    def table(self, name: str) -> str:
        """The place of a table as the Delta library takes it."""
        return f"{self.target}/{name}"

    def shown_table(self, name: str) -> str:
        """The same, fit to be shown."""
        return f"{self.url}/{name}"

    def make(self) -> None:
        """Make the folder where it is missing, for us alone; nothing for an object store. Raises LakeRefused."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LakeRefused(self.url, shown(error)) from error
        strange = next((name for name in ("_delta_log",) if (self.folder / name).exists()), None)
        if strange is not None:
            raise LakeForeign(self.url, "it is a Delta table itself, not a folder of tables")

    def files(self, name: str) -> pyarrow.fs.FileSystem:
        """The files of a table, by their paths in it."""
        if self.folder is not None:
            return pyarrow.fs.SubTreeFileSystem(self.table(name), pyarrow.fs.LocalFileSystem())
        return pyarrow.fs.PyFileSystem(DeltaStorageHandler(self.table(name), dict(self.options)))


def masked(url: str) -> str:
    """A URL without what may be a credential in it."""
    without_query = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"://[^/@]*:[^/@]*@", "://***@", without_query)
