"""The log of a Delta table: its commits, its damage, and repairing it."""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from kubetally.domain.damage import FileDamage, SetAside
from kubetally.ledger.ports.lake import LogFile, NotedLog
from kubetally.store.lake import checking
from kubetally.store.lake.faults import (
    UNREADABLE,
    LakeDamaged,
    shown,
)
from kubetally.store.lake.log_folder import MAX_TORN_ENTRIES
from kubetally.store.lake.log_names import is_checkpoint, is_complete
from kubetally.store.lake.open_table import (
    OpenTable,
    entry_path,
)
from kubetally.store.lake.storage import MissingFile

_ENTRIES_SYNCED = 64
_LOG = "_delta_log/"
_WHOLE_CHECKPOINT = ".checkpoint.parquet"  # others are of several files


class Commit(NamedTuple):
    """A version of a table: when it was committed, and the metadata in its entry."""

    version: int
    at: datetime
    metadata: Mapping[str, Any]


class TableLog:
    """The entries and checkpoints of a table. Raises StoreError."""

    def __init__(self, table: OpenTable) -> None:
        self._table, self._storage, self._translated = table, table.storage, table.translated

    def commits(self, version: int | None = None) -> Iterator[Commit]:
        """The commits whose entries are still in the log, from `version` (else the newest) backwards.

        From the log's own files: `DeltaTable.history` counts back from the version of its handle while it lists from
        the newest commit on, so that another program's commit shifts all its versions (deltalake 1.6.6).
        Raises: LakeDamaged, where an entry can't be read.
        """
        at = self._table.newest().version if version is None else version
        while at >= 0:
            try:
                with self._translated():
                    entry = self._storage.body(entry_path(at))
            except MissingFile:
                return
            yield self._commit_of(at, entry)
            at -= 1

    def _commit_of(self, version: int, entry: bytes) -> Commit:
        """The commit that an entry of the log describes. Raises LakeDamaged."""
        try:
            info = _commit_info(entry)
            return Commit(version, datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC), info)
        except UNREADABLE as error:
            raise LakeDamaged(
                self._table.url, f"its log entry {entry_path(version)} can't be read: {shown(error)}"
            ) from error

    def files(self, since: int) -> list[LogFile]:
        """The entries and checkpoints of versions from `since` on that can be read."""
        with self._translated():
            contents = ((name, self._storage.body(f"{_LOG}{name}")) for name in self._storage.log_names(since))
            crcs = ((name, checking.sound_crc(name, content)) for name, content in contents)
            return [LogFile(self._table.name, name, crc) for name, crc in crcs if crc is not None]

    def versions(self) -> tuple[int, int] | None:
        """The first and the last version in the log; None where it is empty."""
        with self._translated():
            names = self._storage.log_names(0)
        return (int(names[0][:20]), int(names[-1][:20])) if names else None

    def is_dispensable(self, path: str) -> bool:
        """Whether a file of the log is a checkpoint that another one, or the entries since the first, replace."""
        if not path.endswith(".parquet"):
            return False
        with self._translated():
            return is_complete({name for name in self._storage.log_names(0) if f"{_LOG}{name}" != path})

    def put_file(self, path: str, content: bytes | None) -> None:
        """Set a copy of a damaged log file aside and replace it by `content`; None removes it."""
        with self._table.using, self._translated():
            self._table.set_aside(path)
            if content is not None:
                self._storage.put(path, pa.py_buffer(content))
            else:
                self._storage.discard(path)
                if path.endswith(".parquet"):
                    self._storage.discard(f"{_LOG}_last_checkpoint")
            self._table.forget()

    def checkpoints_from(self, path: str) -> list[str]:
        """The checkpoints that contain the entry at this path, if entries and earlier checkpoints replace them."""
        version = _version(path)
        with self._translated():
            names = self._storage.log_names(0)
        later = [name for name in names if is_checkpoint(name) and int(name[:20]) >= version]
        return [f"{_LOG}{name}" for name in later] if is_complete({*names} - {*later}) else []

    def has_checkpoint_of(self, path: str, noted: NotedLog) -> bool:
        """Whether an undamaged checkpoint contains the entry at this path."""
        with self._translated():
            names = self._storage.log_names(_version(path))
            crcs = ((name, noted.get((self._table.name, name))) for name in names if name[20:] == _WHOLE_CHECKPOINT)
            return any(
                crc is not None and checking.sound_crc(name, self._storage.body(f"{_LOG}{name}")) == crc
                for name, crc in crcs
            )

    def lost_files(self, noted: NotedLog) -> list[FileDamage]:
        """Entries with a noted checksum that come after the newest in the log."""
        with self._translated():
            return checking.lost_entries(self._table.name, self._storage.log_names(0), noted)

    def check(self, noted: NotedLog) -> tuple[FileDamage, ...]:
        """Read the whole log; returns its damaged files."""
        with self._translated():
            paths = [f"{_LOG}{name}" for name in self._storage.log_names(0)]
        return checking.check_log(self._table.name, self._storage, paths, noted).damage

    def is_torn(self) -> bool:
        """Whether a power cut left unfinished entries or checkpoints in the log. Raises StoreError."""
        log = self._storage.log
        with self._translated():
            return log is not None and bool(log.find_torn())

    def newest_metadata(self, key: str) -> int:
        """The number under this key in the newest readable commit that has it, else -1. Of a lake on disk only."""
        log = self._storage.log
        with self._translated():
            return -1 if log is None else log.newest_metadata(key)

    def check_torn(self, pending: Collection[str], confirmed: int) -> Mapping[Path, str]:
        """What a power cut left unfinished in the log, as `LogFolder.find_torn` returns it.

        confirmed: the greatest version known to have been whole.
        Raises: LakeDamaged, where an entry has damage that no power cut does, or too much is unfinished.
        """
        log = self._storage.log
        if log is None:
            return {}
        with self._translated():
            torn = log.find_torn(pending)
            if len(torn) > MAX_TORN_ENTRIES:
                raise LakeDamaged(self._table.url, f"{len(torn)} files of its log are empty or cut off")
            damage = log.find_damage(torn, pending, confirmed)
        if damage is not None:
            raise LakeDamaged(self._table.url, f"its log entry _delta_log/{damage[0]} can't be read: {damage[1]}")
        return torn

    def mend(self, torn: Mapping[Path, str]) -> list[SetAside]:
        """Set aside what `check_torn` returned, and sync the rest of the log. Only the sole writer may call it."""
        log = self._storage.log
        if log is None:
            return []
        with self._table.using, self._translated():
            done = log.set_aside(torn)
            if done:
                self._table.forget()
            self._table.sync_log(log.newest_version() - _ENTRIES_SYNCED)
        return done


def _version(path: str) -> int:
    """The version in the name of a log file."""
    return int(path.removeprefix(_LOG)[:20])


def _commit_info(entry: bytes) -> Mapping[str, Any]:
    """The metadata of a commit; empty where another program wrote none."""
    for line in entry.splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            info: Mapping[str, Any] = action["commitInfo"]
            return info
    return {}
