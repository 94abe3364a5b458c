"""Where a lake is: a folder of this machine, or a path in an object store."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError

from kubetally.domain.source_url import without_password
from kubetally.store.lake.faults import foreign, invalid_url, refused, shown
from kubetally.store.lake.log_folder import sync_folder
from kubetally.store.lake.storage import DiskStorage, ObjectStorage, Storage
from kubetally.store.reach import is_there, nearest_there

OBJECT_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
"""Schemes that are passed to the Delta library with their options."""

_SECRET = re.compile(r"secret|key|token|password|sas|credential", re.IGNORECASE)
_MIN_SECRET_LENGTH = 4

DEFAULTS = {"connect_timeout": "5s", "timeout": "60s", "max_retries": "4", "retry_timeout": "60s"}
"""Timeouts and retries for an object store, unless the options set them."""


@dataclass(frozen=True)
class Place:
    """A folder or an object store's path; `url` has no secrets, `target` and `options` may."""

    url: str
    target: str = field(repr=False)
    folder: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, options: Mapping[str, str] | None = None) -> Self:
        """From a path, a file URL, or the URL of an object store with its storage options. Raises RequestError."""
        options = dict(options or {})
        scheme, separator, _ = url.partition("://")
        if not separator:
            return cls._of_folder(url, Path(url))
        parts = urlsplit(url)
        if scheme == "file":
            if parts.netloc not in {"", "localhost"}:
                raise invalid_url(masked(url), "names another machine")
            return cls._of_folder(url, Path(unquote(parts.path)))
        if scheme not in OBJECT_STORES:
            raise invalid_url(masked(url), "has an unknown scheme")
        if parts.query or parts.fragment or ":" in parts.netloc:
            raise invalid_url(masked(url), "has a port, query or fragment")
        if not parts.netloc:
            raise invalid_url(masked(url), "has no bucket")
        target = url.rstrip("/")
        return cls(target, target, None, _with_defaults(options))

    @classmethod
    def _of_folder(cls, url: str, path: Path) -> Self:
        if not url.strip() or "\0" in url:
            raise invalid_url(url, "has no folder")
        folder = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - links stay as they are
        return cls(str(folder), str(folder), folder)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be shown."""
        secret = (value for name, value in self.options.items() if _SECRET.search(name))
        return tuple(value for value in secret if len(value) >= _MIN_SECRET_LENGTH)

    def table(self, name: str) -> str:
        """The place of a table for the Delta library."""
        return f"{self.target}/{name}"

    def shown_table(self, name: str) -> str:
        """The place of a table, without secrets."""
        return f"{self.url}/{name}"

    def make(self) -> None:
        """Create a missing folder with access for this user only; nothing for an object store. Raises StoreError."""
        if self.folder is None:
            return
        try:
            if not self.folder.is_dir():
                above = nearest_there(self.folder.parent)
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for folder in self.folder.parents:
                    with suppress(PermissionError):  # a folder that we can enter and not list
                        sync_folder(folder)
                    if folder == above:
                        break
            is_table = is_there(self.folder / "_delta_log")
        except OSError as error:
            raise refused(self.url, shown(error)) from error
        if is_table:
            raise foreign(self.url, "it is a Delta table itself, not a folder of tables")

    def storage(self, name: str) -> Storage:
        """The files of a table. Raises RequestError, if the options are invalid."""
        if self.folder is not None:
            return DiskStorage(self.folder / name)
        try:
            return ObjectStorage(self.table(name), self.options)
        except (BaseError, ValueError) as error:
            raise invalid_url(self.url, f"has options that can't be used ({shown(error, self.secrets)})") from error


def _with_defaults(options: Mapping[str, str]) -> dict[str, str]:
    stated = {name.lower() for name in options}
    return {**{name: value for name, value in DEFAULTS.items() if name not in stated}, **options}


def masked(url: str) -> str:
    """A URL without parts that may be credentials."""
    without_query = re.split(r"[?#]", url, maxsplit=1)[0]
    return without_password(without_query) if re.search(r"://[^/]*:", without_query) else without_query
