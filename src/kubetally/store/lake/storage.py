"""The files of a table, on this machine's disk or in an object store.

Object stores are read by obstore, the library inside deltalake, with the same option names and credentials.
`deltalake.fs` holds Python's lock while it waits for the store, so that a slow response stops every thread of the
service (deltalake 1.6.6).
"""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from kubetally.store.lake.log_folder import SET_ASIDE, LogFolder, sync_file, sync_folder
from kubetally.store.lake.log_names import log_names
from kubetally.store.lake.ranged_file import RangedFile
from kubetally.store.reach import PROBE_CONTENT, write_probe

_CLIENT_OPTIONS = frozenset(
    {"allow_http", "allow_invalid_certificates", "connect_timeout", "timeout", "proxy_url", "user_agent"}
)
PROBE = ".kubetally-probe"
"""The name of an object that is written to check an object store; it is no part of a lake."""
ROLL_UPS_FOLDER = "rollups"
"""The folder of the files of roll-ups, beside the tables."""
_RETRY_OPTIONS = frozenset({"max_retries", "retry_timeout"})
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class MissingFile(Exception):
    """A file that the log names does not exist any more."""


class Storage(Protocol):
    """Files by their paths in a table's folder. Raises OSError, BaseError of obstore; MissingFile where it reads."""

    def opened(self, path: str, size: int) -> Any:
        """A file of that many bytes to read in parts; a context manager that pyarrow accepts."""

    def body(self, path: str) -> bytes:
        """A whole file."""

    def write(self, path: str, content: pa.Buffer) -> None:
        """Write a new file, which is durable when this returns; none is left if it fails."""

    def put(self, path: str, content: pa.Buffer) -> None:
        """Replace the file with this path, if any; at each moment one of the two is there, complete."""

    def discard(self, path: str) -> None:
        """Remove a file that nothing refers to; if that fails, the vacuum removes it."""

    def sizes(self) -> dict[str, int]:
        """All files and their sizes by path; empty if the folder is missing."""

    def log_names(self, since: int) -> list[str]:
        """The names of entries and checkpoints of versions from `since` on, in order."""

    def check_writable(self) -> None:
        """Write a few bytes that no reader sees."""

    def sync(self, paths: Iterable[str]) -> None:
        """Make files and their names survive a power cut; missing ones are ignored."""

    @property
    def log(self) -> LogFolder | None:
        """The log, if a power cut can leave it incomplete; None if files are written completely or not at all."""


class DiskStorage:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def opened(self, path: str, size: int) -> Any:
        try:
            return pa.OSFile(str(self._folder / path))
        except FileNotFoundError as error:
            raise MissingFile(path) from error

    def body(self, path: str) -> bytes:
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError as error:
            raise MissingFile(path) from error

    def write(self, path: str, content: pa.Buffer) -> None:
        place = self._folder / path
        if not place.parent.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(place.parent.parent)
        try:
            with place.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(place.parent)
        except FileExistsError:
            raise
        except BaseException:
            self.discard(path)
            raise

    def put(self, path: str, content: pa.Buffer) -> None:
        draft = f"{path}.new"
        self.discard(draft)  # of a process that was killed
        self.write(draft, content)
        os.replace(self._folder / draft, self._folder / path)  # noqa: PTH105
        sync_folder((self._folder / path).parent)

    def discard(self, path: str) -> None:
        with suppress(OSError):
            (self._folder / path).unlink()

    def sizes(self) -> dict[str, int]:
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self._folder)): path.stat().st_size for path in files}

    def log_names(self, since: int) -> list[str]:
        log = self._folder / "_delta_log"
        return log_names(os.listdir(log) if log.is_dir() else (), since)  # noqa: PTH208 - names alone, of thousands

    def check_writable(self) -> None:
        """See `Storage`. If the folder is missing, its nearest parent is checked."""
        write_probe(self._folder)

    def sync(self, paths: Iterable[str]) -> None:
        """See `Storage`. The table's folder and the one above it are synced too: the table may be new."""
        folders = {self._folder, self._folder.parent}
        for path in paths:
            with suppress(FileNotFoundError):
                sync_file(self._folder / path)
                folders.add((self._folder / path).parent)
        for folder in sorted(folders, reverse=True):
            sync_folder(folder)

    @property
    def log(self) -> LogFolder | None:
        return LogFolder(self._folder, aside=self._folder.parent / SET_ASIDE / self._folder.name)


class ObjectStorage:
    """A path in an object store."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._store = object_store(url, options)

    def opened(self, path: str, size: int) -> Any:
        return pa.PythonFile(_StoredObject(self._store, path, size), mode="r")

    def body(self, path: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            raise MissingFile(path) from error

    def write(self, path: str, content: pa.Buffer) -> None:
        obstore.put(self._store, path, content.to_pybytes())

    def put(self, path: str, content: pa.Buffer) -> None:
        self.write(path, content)

    def discard(self, path: str) -> None:
        with suppress(BaseError, OSError):
            obstore.delete(self._store, path)

    def sizes(self) -> dict[str, int]:
        return {str(found["path"]): int(found["size"]) for page in obstore.list(self._store) for found in page}

    def log_names(self, since: int) -> list[str]:
        pages = obstore.list(self._store, "_delta_log", offset=f"_delta_log/{max(since, 0):020}")
        return log_names((str(found["path"]).rpartition("/")[2] for page in pages for found in page), since)

    def check_writable(self) -> None:
        """See `Storage`; it is the same small object each time."""
        obstore.put(self._store, PROBE, PROBE_CONTENT)

    def sync(self, paths: Iterable[str]) -> None:
        """See `Storage`. An object store responds once an object is durable."""

    @property
    def log(self) -> None:
        return


class _StoredObject(RangedFile):
    """An object that is read in ranges, with one request per read; pyarrow reads few and large ones."""

    def __init__(self, store: ObjectStore, path: str, size: int) -> None:
        super().__init__(size)
        self._store, self._path = store, path

    def fetch(self, begin: int, end: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._store, self._path, start=begin, end=end))
        except (FileNotFoundError, NotFoundError) as error:
            raise MissingFile(self._path) from error


def object_store(url: str, options: Mapping[str, str]) -> ObjectStore:
    """An object store with deltalake's options, including those of the client and of retries."""
    client: Any = {}
    retry: Any = {}
    config: Any = {}
    for name, value in options.items():
        plain = re.sub(r"^(aws|azure|google)_", "", name.lower())
        if plain in _CLIENT_OPTIONS:
            client[plain] = value.lower() == "true" if plain.startswith("allow") else value
        elif plain in _RETRY_OPTIONS:
            retry[plain] = int(value) if plain == "max_retries" else _duration(value)
        else:
            config[name] = value
    return from_url(url, config=config, client_options=client, retry_config=retry)


def _duration(text: str) -> timedelta:
    """Seconds of `30s`, `500ms` or `3m`."""
    match = re.fullmatch(r"(\d+) ?(ms|s|m|h)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: use 30s, 500ms or 3m")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
