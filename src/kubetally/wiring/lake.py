"""Where the lake is, and how it is reached."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kubetally.ledger.ports.lake import Lake
from kubetally.settings import Settings
from kubetally.store.reach import is_there
from kubetally.wiring.environment import UnusableSetting

if TYPE_CHECKING:
    from kubetally.store.lake.copying import LakeFiles

_URL, _OPTIONS = "KUBETALLY_LAKE_URL", "KUBETALLY_LAKE_OPTIONS"
_CLIENT_VARIABLES = tuple(
    f"{cloud}_{option}"
    for cloud in ("AWS", "AZURE", "GOOGLE")
    for option in ("ALLOW_HTTP", "ALLOW_INVALID_CERTIFICATES", "PROXY_URL")
)
"""Of the environment: credentials are read there by the libraries themselves, these by one of the two only."""


_QUICK = {"connect_timeout": "3s", "timeout": "10s", "max_retries": "1", "retry_timeout": "10s"}
"""For commands that write to an object store by the way."""


def open_lake(settings: Settings, *, quick: bool = False) -> Lake:
    """The lake of the settings; `quick`: with short timeouts. Raises UnusableSetting, StoreError."""
    from kubetally.store.lake.delta import DeltaLake  # heavy: pyarrow and deltalake

    keep = timedelta(days=settings.history_days)
    options = {**(_QUICK if quick else {}), **lake_options(settings)}
    return DeltaLake(_lake_url(settings), storage_options=options, keep=keep)


def open_lake_files(settings: Settings) -> "LakeFiles":
    """The files of that lake. Raises UnusableSetting, StoreError."""
    from kubetally.store.lake.copying import LakeFiles  # heavy: as above

    return LakeFiles(_lake_url(settings), lake_options(settings))


def has_lake(settings: Settings) -> bool:
    """Whether there may be a lake already: false only where a folder has no tables of days. Raises PlaceRefused."""
    folder = lake_folder(settings)
    if folder is None:
        return True
    return any(is_there(folder / name / "_delta_log") for name in ("allocations", "running"))


@dataclass(frozen=True, slots=True)
class LakeOfSettings:
    """Where the lake of the settings is."""

    settings: Settings

    @property
    def folder(self) -> Path | None:
        """See `lake_folder`."""
        return lake_folder(self.settings)

    def exists(self) -> bool:
        """See `has_lake`."""
        return has_lake(self.settings)

    def open(self, *, quick: bool = False) -> Lake:
        """See `open_lake`."""
        return open_lake(self.settings, quick=quick)


def lake_folder(settings: Settings) -> Path | None:
    """The lake's folder on this machine; None where it is in an object store. Raises UnusableSetting."""
    url = _lake_url(settings)
    if "://" in url and not url.startswith("file://"):
        return None
    return Path(url.removeprefix("file://")).expanduser()


def shown_lake(settings: Settings) -> str:
    """Where the lake is, without credentials."""
    scheme, separator, place = (settings.lake_url or _default(settings)).rpartition("://")
    return f"{scheme}{separator}{place.rpartition('@')[2]}" if separator else place


def lake_options(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Storage options: those of the settings, before what the environment says of connections.

    Raises: UnusableSetting.
    """
    options = {name.lower(): environment[name] for name in _CLIENT_VARIABLES if environment.get(name)}
    for part in (settings.lake_options or "").replace("\n", ";").split(";"):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals and not name:
            continue
        if not name or not value:
            raise UnusableSetting(_OPTIONS, "it should be `name=value`, one a line or between semicolons")
        options[name.lower()] = value
    return options


def _lake_url(settings: Settings) -> str:
    """Where the lake is. Raises UnusableSetting."""
    url = settings.lake_url or _default(settings)
    if "://" not in url and not Path(url).expanduser().is_absolute():
        why = f"the folder {url!r} is relative, and would be another one from each place that a command is called from"
        raise UnusableSetting(_URL, f"{why}: write it from the root")
    return url


def _default(settings: Settings) -> str:
    return str(settings.home_folder.absolute() / "lake")
