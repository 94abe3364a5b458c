"""Where the lake is, and how it is reached; loads what reads it only when it is opened."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kubetally.domain.errors import unusable_setting
from kubetally.ledger.ports.lake import Lake, NotedLog
from kubetally.store.lake.noted_log import noted_version
from kubetally.store.reach import is_there

if TYPE_CHECKING:
    from kubetally.store.lake.copying import LakeFiles

_CLIENT_VARIABLES = tuple(
    f"{cloud}_{option}"
    for cloud in ("AWS", "AZURE", "GOOGLE")
    for option in ("ALLOW_HTTP", "ALLOW_INVALID_CERTIFICATES", "PROXY_URL")
)
"""Read here, as only one of the two libraries does; both read credentials from the environment themselves."""
_QUICK = {"connect_timeout": "3s", "timeout": "10s", "max_retries": "1", "retry_timeout": "10s"}
"""For commands whose main work is not the lake."""


@dataclass(frozen=True, slots=True)
class LakeLocation:
    """The port `LakePlace`. place: KUBETALLY_LAKE_URL. options_text: KUBETALLY_LAKE_OPTIONS. keep: history.

    cache: a folder for copies of files of an object store, and how many bytes it may take.
    """

    place: str = field(repr=False)
    options_text: str | None = field(repr=False)
    keep: timedelta
    cache: tuple[Path, int] | None = None

    @property
    def shown(self) -> str:
        """Where it is, without credentials."""
        scheme, separator, rest = self.place.rpartition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else rest

    @property
    def folder(self) -> Path | None:
        url = self._url()
        if "://" in url and not url.startswith("file://"):
            return None
        return Path(url.removeprefix("file://")).expanduser()

    def exists(self) -> bool:
        """Whether there may be a lake already: false only if a folder has no tables of days. Raises StoreError."""
        folder = self.folder
        if folder is None:
            return True
        return any(is_there(folder / name / "_delta_log") for name in ("allocations", "running"))

    def noted_version(self, noted: NotedLog) -> int | None:
        folder = self.folder
        return None if folder is None else noted_version(folder, noted)

    def open(self, *, quick: bool = False) -> Lake:
        from kubetally.store.lake.delta import DeltaLake  # heavy: pyarrow and deltalake
        from kubetally.store.lake.local_copies import CacheFolder

        options = {**(_QUICK if quick else {}), **self.options()}
        cache = None if self.cache is None else CacheFolder(*self.cache)
        return DeltaLake(self._url(), storage_options=options, keep=self.keep, cache=cache)

    def open_files(self) -> "LakeFiles":
        """Its files. Raises RequestError, StoreError."""
        from kubetally.store.lake.copying import LakeFiles  # heavy: as above

        return LakeFiles(self._url(), self.options())

    def options(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Storage options: those that are set come before variables of the clouds' clients. Raises RequestError."""
        options = {name.lower(): environment[name] for name in _CLIENT_VARIABLES if environment.get(name)}
        for part in (self.options_text or "").replace("\n", ";").split(";"):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals and not name:
                continue
            if not name or not value:
                why = "it should be `name=value`, separated by line breaks or semicolons"
                raise unusable_setting("KUBETALLY_LAKE_OPTIONS", why)
            options[name.lower()] = value
        return options

    def _url(self) -> str:
        if "://" not in self.place and not Path(self.place).expanduser().is_absolute():
            why = f"the folder {self.place!r} is relative to where a command runs; give its full path"
            raise unusable_setting("KUBETALLY_LAKE_URL", why)
        return self.place
