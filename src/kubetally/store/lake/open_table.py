"""One Delta table of the lake as this process sees it: opened and checked, made or upgraded, version by version."""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from threading import Lock
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from kubetally.store.lake.faults import LakeDamaged, foreign, newer_protocol, newer_schema, translated
from kubetally.store.lake.files import DataFile
from kubetally.store.lake.log_folder import SET_ASIDE
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import DAY, SCHEMA_VERSION, SCHEMAS, STATISTICS, VERSION_KEY, TableName
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.upgrade import is_of_earlier_version, unlike_columns, upgrade_table

ATTEMPTS = 12
_MAX_WRITER_VERSION = 7  # of the Delta protocol, the last that has a specification
_FIRST_WAIT_SECONDS = 0.02
_MAX_WAIT_SECONDS = 1.0
_MAX_SNAPSHOTS = 16
_LOG_RETENTION, FILE_RETENTION = "delta.logRetentionDuration", "delta.deletedFileRetentionDuration"


@dataclass(frozen=True)
class Snapshot:
    """The files of a table at a version, by day."""

    version: int
    files: Mapping[date, tuple[DataFile, ...]]

    def of(self, day: date) -> tuple[DataFile, ...]:
        """The files of a day; usually one, none if nothing is stored."""
        return self.files.get(day, ())


EMPTY = Snapshot(-1, {})
"""The snapshot of a table that does not exist yet."""


class OpenTable:
    """A Delta table, as last read. Threads may share it; hold `using` while calling what takes a handle or returns one.

    Raises: StoreError.
    """

    def __init__(self, place: Place, name: TableName, keep: timedelta, sleep: Callable[[float], None]) -> None:
        self.name, self.keep = name, keep
        self.url = place.shown_table(name)
        self.storage, self.aside = place.storage(name), place.storage(f"{SET_ASIDE}/{name}")
        self.using = Lock()
        self._place, self._sleep = place, sleep
        self._handle: DeltaTable | None = None
        self._newest = EMPTY
        self._identity: tuple[int, ...] | None = None
        self._older: OrderedDict[int, Snapshot] = OrderedDict()

    def seen(self) -> Snapshot:
        """The version last read, else the newest."""
        return self._newest if self._newest is not EMPTY else self.newest()

    def newest(self) -> Snapshot:
        """The newest version; EMPTY if the table does not exist."""
        with self.using, self.translated():
            handle = self.opened()
            return EMPTY if handle is None else self.look(handle)

    def at(self, version: int) -> Snapshot | None:
        """A version; None if it has expired or does not exist yet."""
        if version == self._newest.version:
            return self._newest
        with self.using:
            if version in self._older:
                self._older.move_to_end(version)
                return self._older[version]
        handle = self._handle_at(version)
        if handle is None:
            return None
        snapshot = _snapshot(handle)
        with self.using:
            self._older[version] = snapshot
            while len(self._older) > _MAX_SNAPSHOTS:
                self._older.popitem(last=False)
        return snapshot

    def make(self) -> Snapshot:
        """The newest version, after creating a missing table, or upgrading one of an earlier version."""
        snapshot = self.newest()
        if snapshot is not EMPTY:
            return snapshot if self._upgrade() is None else self.newest()
        self._place.make()
        with self.translated():
            self._create()
            self.sync_log(0)
        return self.newest()

    def _upgrade(self) -> int | None:
        """Add the columns that a table of an earlier version lacks; returns the version that did, else None."""
        with self.using, self.translated():
            handle = self.opened()
            if handle is None or not is_of_earlier_version(handle):
                return None
            before = handle.version()
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    upgrade_table(handle, SCHEMAS[self.name])
                except DeltaError:  # another program upgraded it meanwhile, or wrote something else
                    handle.update_incremental()
                    if is_of_earlier_version(handle) and attempt == ATTEMPTS:
                        raise
                    self._sleep(wait_seconds(attempt))
                if not is_of_earlier_version(handle):
                    break
            self.sync_log(before + 1)
            return handle.version()

    def _create(self) -> None:
        columns = ",".join(name for name in STATISTICS if name in SCHEMAS[self.name].names)
        try:
            properties = {"delta.dataSkippingStatsColumns": columns, **retention(self.keep)}
            create_table(self._place, self.name, properties, partition_by=DAY)
        except (DeltaError, OSError):
            # Of several that create it at once, one succeeds.
            if self.opened() is None:
                raise

    def opened(self) -> DeltaTable | None:
        """The handle, checked when it is first opened; None where there is no table."""
        if self._handle is not None and self._newest is not EMPTY and self.is_replaced(self._newest.version):
            self.forget()
        if self._handle is None:
            if (log := self.storage.log) is not None:
                self.check_entry(log.newest_version())
            try:
                handle = self.handle(None)
            except TableNotFoundError:
                return None
            check_table(handle, self.url, self.name)
            self._handle = handle
        return self._handle

    def look(self, handle: DeltaTable) -> Snapshot:
        """The newest version, checked if it is another than the one last read."""
        log = self.storage.log
        if log is not None and handle.version() == self._newest.version and not log.has(self._newest.version + 1):
            return self._newest  # the library would list the whole folder to find that out
        handle.update_incremental()
        if handle.version() != self._newest.version:
            self.check_entry(handle.version())
            check_table(handle, self.url, self.name)
            self._identity = None if log is None else log.identity(handle.version())
            self._newest = _snapshot(handle)
        return self._newest

    def check_entry(self, version: int) -> None:
        """Raise LakeDamaged, where an entry is incomplete: the library may open the table all the same."""
        log = self.storage.log
        if log is not None and (why := log.lacks(version)) is not None:
            raise LakeDamaged(self.url, f"its log entry {entry_path(version)} can't be read: {why}")

    def is_replaced(self, version: int) -> bool:
        """Whether the entry of the version last read was set aside, and another one has its number."""
        log = self.storage.log
        return log is not None and version == self._newest.version and log.identity(version) != self._identity

    def _handle_at(self, version: int) -> DeltaTable | None:
        """A handle of its own; None where that version is gone, or was never there."""
        if version < 0:
            return None
        try:
            with self.translated():
                return self.handle(version)
        except LakeDamaged:
            # Either this version is not there, or nothing is.
            self.newest()
            return None

    def handle(self, version: int | None) -> DeltaTable:
        """A new handle at a version, else the newest."""
        return DeltaTable(self._place.table(self.name), version=version, storage_options=dict(self._place.options))

    def forget(self) -> None:
        """Drop all that was read, so that the table is opened again."""
        self._handle, self._newest, self._identity = None, EMPTY, None
        self._older.clear()

    def sync_log(self, since: int) -> None:
        """Make the entries and checkpoints of versions from `since` on survive a power cut."""
        log = self.storage.log
        if log is not None and (paths := list(log.newest_paths(since))):
            self.storage.sync(paths)

    def set_aside(self, path: str) -> None:
        """Copy a damaged file to a place without retention; an unreadable one stays where it is."""
        try:
            content = self.storage.body(path)
        except (MissingFile, OSError):
            return
        with suppress(FileExistsError):  # it was copied before
            self.aside.write(path, pa.py_buffer(content))

    def translated(self) -> Any:
        """A context in which errors of libraries and the disk become errors of the lake."""
        return translated(self.url, self._place.secrets)


def check_table(handle: DeltaTable, url: str, name: TableName) -> None:
    """Raise StoreError, unless the table is one that this version can read."""
    protocol = handle.protocol()
    features = ", ".join(sorted(protocol.reader_features or ()))
    if features or protocol.min_writer_version > _MAX_WRITER_VERSION:
        # With deletion vectors, for example, the files still hold rows that were deleted.
        raise newer_protocol(url, f"reader features {features}" if features else "its writer version")
    version = handle.metadata().configuration.get(VERSION_KEY)
    if version is None or not version.isdecimal():
        raise foreign(url, f"it lacks the table property {VERSION_KEY}")
    if int(version) > SCHEMA_VERSION:
        raise newer_schema(url, version=int(version), known=SCHEMA_VERSION)
    columns, ours = pa.schema(handle.schema().to_arrow()), SCHEMAS[name]
    if unlike := unlike_columns(columns, ours=ours, version=int(version)):
        raise foreign(url, f"other columns: {', '.join(unlike[:5])}")


def create_table(
    place: Place, name: TableName, properties: Mapping[str, str], *, partition_by: str | None = None
) -> None:
    """Create a table with the columns of this version. Raises DeltaError, OSError."""
    DeltaTable.create(
        place.table(name),
        Schema.from_arrow(SCHEMAS[name]),
        partition_by=partition_by,
        name=name.value,
        configuration={VERSION_KEY: str(SCHEMA_VERSION), **properties},
        storage_options=dict(place.options),
        raise_if_key_not_exists=False,
    )


def retention(keep: timedelta) -> dict[str, str]:
    """The table properties for the retention of the log and of replaced files."""
    duration = f"interval {max(1, ceil(keep / timedelta(hours=1)))} hours"
    return {_LOG_RETENTION: duration, FILE_RETENTION: duration}


def _snapshot(handle: DeltaTable) -> Snapshot:
    actions = pa.table(handle.get_add_actions(flatten=True))
    by_day: dict[date, tuple[DataFile, ...]] = {}
    columns = (actions[name].to_pylist() for name in (f"partition.{DAY}", "path", "size_bytes"))
    for day, path, size in zip(*columns, strict=True):
        by_day[day] = (*by_day.get(day, ()), DataFile(path, size))
    return Snapshot(handle.version(), by_day)


def entry_path(version: int) -> str:
    """The path of the log entry of a version."""
    return f"_delta_log/{version:020d}.json"


def wait_seconds(attempt: int) -> float:
    """The pause after an attempt: longer each time, with jitter."""
    limit = min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    return random.uniform(limit / 4, limit)  # noqa: S311
