"""One Delta table of days: what is in it at a version, and how a day is put into it at once.

The commit is ours (`max_commit_retries=0`): it succeeds only on the version that was read. Delta's own retry would take
two first files of one day for two appends that have nothing to do with each other, and the day would count twice.
"""

import json
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from obstore.exceptions import BaseError

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.damage import AssetsDamaged, DayDamaged, FileDamage, LakeCheck, SavingsDamaged, SetAside
from kubetally.ledger.ports.lake import Lengthen, LogFile, Maintained, NotedLog, by_clock
from kubetally.store.lake import checking, files
from kubetally.store.lake.faults import (
    UNREADABLE,
    LakeBusy,
    LakeDamaged,
    LakeForeign,
    LakeNewer,
    LakeProtocolNewer,
    LakeUnavailable,
    is_panic,
    meaning,
    shown,
    translated,
)
from kubetally.store.lake.files import DamagedFile, DataFile
from kubetally.store.lake.log_folder import ACTIONS_KEY, COMMIT_ALONE, MAX_TORN_ENTRIES, SET_ASIDE
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import DAY, SCHEMA_VERSION, SCHEMAS, STATISTICS, VERSION_KEY, TableName, in_files
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.upgrade import is_of_earlier_version, unlike_columns, upgrade_table

ATTEMPTS = 12
_MAX_WRITER_VERSION = 7  # of the Delta protocol, the last that there is a specification of
_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 1.0
_SNAPSHOTS_KEPT = 16
_ENTRIES_SYNCED = 64
_LOG = "_delta_log/"
_WHOLE_CHECKPOINT = ".checkpoint.parquet"  # others are of several files
_LOG_KEPT, _FILES_KEPT = "delta.logRetentionDuration", "delta.deletedFileRetentionDuration"


@dataclass(frozen=True)
class Snapshot:
    """The files of a table at a version, by day."""

    version: int
    files: Mapping[date, tuple[DataFile, ...]]

    def of(self, day: date) -> tuple[DataFile, ...]:
        """The files of a day; one as a rule, none where nothing is held."""
        return self.files.get(day, ())


class Commit(NamedTuple):
    """A version of a table: when it was made, and what we said of it."""

    version: int
    at: datetime
    said: Mapping[str, Any]


Keep = Callable[[pa.Table], Collection[str]]
"""Which collections' rows stay in a day's table, by their ids."""

EMPTY = Snapshot(-1, {})
"""Of a table that nobody has made yet."""


_DAMAGE: Mapping[TableName, type[DayDamaged]] = {
    TableName.ASSETS: AssetsDamaged,
    TableName.RUNNING_ASSETS: AssetsDamaged,
    TableName.SAVINGS: SavingsDamaged,
}


class _Moved(Exception):
    """Somebody committed after we read."""


class DayTable:
    """A table of the lake. Threads may share it; each commit is of one day. Raises StoreError."""

    def __init__(
        self, place: Place, name: TableName, keep: timedelta, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.name = name
        self.url = place.shown_table(name)
        self.schema = in_files(SCHEMAS[name])
        self._place, self._keep, self._sleep = place, keep, sleep
        self._storage, self._aside = place.storage(name), place.storage(f"{SET_ASIDE}/{name}")
        self._handle: DeltaTable | None = None
        self._newest = EMPTY
        self._identity: tuple[int, ...] | None = None
        self._older: OrderedDict[int, Snapshot] = OrderedDict()
        self._using, self._writing = Lock(), Lock()

    def seen(self) -> Snapshot:
        """As it was when last looked at; looked at now if never before."""
        return self._newest if self._newest is not EMPTY else self.newest()

    def newest(self) -> Snapshot:
        """As it is now; EMPTY where nobody has made it."""
        with self._using, self._translated():
            handle = self._opened()
            return EMPTY if handle is None else self._look(handle)

    def at(self, version: int) -> Snapshot | None:
        """As it was at a version; None where that is no longer, or not yet, known."""
        if version == self._newest.version:
            return self._newest
        with self._using:
            if version in self._older:
                self._older.move_to_end(version)
                return self._older[version]
        handle = self._handle_at(version)
        if handle is None:
            return None
        snapshot = _snapshot(handle)
        with self._using:
            self._older[version] = snapshot
            while len(self._older) > _SNAPSHOTS_KEPT:
                self._older.popitem(last=False)
        return snapshot

    def read(
        self,
        snapshot: Snapshot,
        day: date,
        accounts: Collection[str] | None = None,
        columns: list[str] | None = None,
    ) -> pa.Table:
        """The rows of a day, at least those of `accounts`, of verified bytes.

        Raises: DayDamaged; MissingFile, where its file was removed since.
        """
        with self._of_day(day):
            tables = [files.read(self._storage, file, self.schema, accounts, columns) for file in snapshot.of(day)]
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def held(self, day: date, accounts: Collection[str] | None = None, columns: list[str] | None = None) -> pa.Table:
        """The rows of a day as they are now, at least those of `accounts`. Raises DayDamaged."""
        while True:
            snapshot = self.newest()
            try:
                return self.read(snapshot, day, accounts, columns)
            except MissingFile as error:
                self.check_moved(snapshot, day, error)

    def put(
        self,
        day: date,
        new: Mapping[str, pa.Table],
        said: Mapping[str, Any],
        *,
        keep: Keep = lambda _: (),
        go_on: Callable[[], None] = lambda: None,
        anew: bool = False,
    ) -> int:
        """Put tables of accounts in place of what they have of this day, in one commit; returns its version.

        said: what the commit tells of itself. keep: tells of the day as it is, each time that it is read, which
        collections' rows stay beside the new ones. go_on: called before each attempt to commit, after the day was
        read: who committed before it is seen by it, and who commits after it makes our commit fail; where it raises,
        what was written is removed again and the error passed on.
        anew: a damaged file of the day is replaced too, by what can be read of it, and a copy of it is set aside.
        Raises: LakeBusy, LakeFull; DayDamaged, where the present file of the day is missing or damaged.
        """
        made = self._write(day, lambda held: files.merged(held, new, keep(held)), said, go_on, anew=anew)
        assert made is not None  # noqa: S101
        return made

    def rewrite(
        self, day: date, change: Callable[[pa.Table], pa.Table | None], go_on: Callable[[], None] = lambda: None
    ) -> int | None:
        """Put what `change` makes of a day in its place; None, and no commit, where it makes nothing of it.

        change: called each time that the day is read. go_on: as `put` calls it. Raises: as `put`.
        """

        def changed(held: pa.Table) -> list[pa.Table] | None:
            table = change(held)
            return None if table is None else files.merged(table, {})

        return self._write(day, changed, {}, go_on)

    def _write(
        self,
        day: date,
        change: Callable[[pa.Table], list[pa.Table] | None],
        said: Mapping[str, Any],
        go_on: Callable[[], None],
        *,
        anew: bool = False,
    ) -> int | None:
        with self._writing:
            for attempt in range(ATTEMPTS):
                if attempt:
                    self._sleep(_wait_seconds(attempt))
                base = self._made()
                try:
                    held = self._held_at(base, day, anew=anew)
                except MissingFile:
                    continue
                tables = change(held)
                if tables is None:
                    return None
                with self._translated():
                    added = files.write(self._storage, day, tables, self.schema) if tables else None
                try:
                    go_on()
                except BaseException:
                    self._discard(added)
                    raise
                try:
                    return self._commit(base, day, added, said)
                except _Moved:
                    continue
        raise LakeBusy(self.url, ATTEMPTS)

    def _held_at(self, base: Snapshot, day: date, *, anew: bool) -> pa.Table:
        """The rows of a day; anew: what can be read of them.

        Raises: DayDamaged; MissingFile, where somebody replaced the file meanwhile.
        """
        try:
            try:
                return self.read(base, day)
            except MissingFile as error:
                self.check_moved(base, day, error)
                raise
        except DayDamaged:
            if not anew:
                raise
        with self._translated():
            for file in base.of(day):
                self._set_aside(file)
            readable = [files.salvage(self._storage, file, self.schema) for file in base.of(day)]
        return pa.concat_tables([self.schema.empty_table(), *readable])

    def mend_file(self, damage: FileDamage) -> None:
        """Set a copy of a damaged file aside, and write its day anew where the newest version needs the file."""
        if damage.is_current and damage.day is not None:
            self.put(damage.day, {}, {}, anew=True)
        else:
            with self._translated():
                self._set_aside(DataFile(damage.path, 0))

    def _set_aside(self, file: DataFile) -> None:
        """Copy a damaged file to where no history expires; one that can't be read stays where it is."""
        try:
            content = self._storage.body(file.path)
        except (MissingFile, OSError):
            return
        with suppress(FileExistsError):  # it was copied before
            self._aside.write(file.path, pa.py_buffer(content))

    def commits(self, version: int | None = None) -> Iterator[Commit]:
        """What the log still tells of commits, from `version` (else the newest) backwards.

        From the log's own files: `DeltaTable.history` counts back from the version of its handle while it lists from
        the newest commit on, so that a commit of somebody else shifts all its versions (deltalake 1.6.6).
        Raises: LakeDamaged, where an entry can't be read.
        """
        at = self.newest().version if version is None else version
        while at >= 0:
            try:
                with self._translated():
                    entry = self._storage.body(_entry(at))
            except MissingFile:
                return
            yield self._commit_of(at, entry)
            at -= 1

    def _commit_of(self, version: int, entry: bytes) -> Commit:
        """What an entry of the log says. Raises LakeDamaged."""
        try:
            info = _commit_info(entry)
            return Commit(version, datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC), info)
        except UNREADABLE as error:
            raise LakeDamaged(self.url, f"its log entry {_entry(version)} can't be read: {shown(error)}") from error

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """One file a day, a checkpoint, and nothing that was replaced longer than `keep` ago.

        Where the table says of itself that it keeps it longer, that holds, unless `shorten`.
        """
        snapshot = self.newest()
        if snapshot is EMPTY:
            return Maintained()
        scattered = [day for day, several in snapshot.files.items() if len(several) > 1]
        for day in scattered:
            with suppress(DayDamaged):  # one damaged day must not stop maintenance
                self.put(day, {}, {})
        with self._translated():
            handle = self._delta(None)  # of its own: to list files takes long, and readers use ours meanwhile
            properties = handle.metadata().configuration
            told = timedelta() if shorten else _duration(properties.get(_FILES_KEPT, ""))
            properties_wanted = retention(max(self._keep, told))
            if not properties_wanted.items() <= properties.items():
                handle.alter.set_table_properties(properties_wanted, post_commithook_properties=COMMIT_ALONE)
            kept = max(keep, told)
            longer = lengthen(kept)
            old = removed = _vacuum(handle, kept, dry_run=True)
            if longer != kept:
                removed = [] if longer is None else _vacuum(handle, longer, dry_run=True)
            if removed and longer is not None:
                _vacuum(handle, longer, dry_run=False)
            handle.update_incremental()
            if not any(".checkpoint." in name for name in self._storage.log_names(handle.version())):
                handle.create_checkpoint()
            self._sync_log(snapshot.version)
            if longer == kept:  # else the log would be cut off by the clock; it is once that is trusted again
                handle.cleanup_metadata()
        return Maintained(len(scattered), len(removed), self.newest().version, kept, len(old) - len(removed))

    def log_files(self, since: int) -> list[LogFile]:
        """The entries and checkpoints of versions from `since` on that can be read."""
        with self._translated():
            contents = ((name, self._storage.body(f"{_LOG}{name}")) for name in self._storage.log_names(since))
            crcs = ((name, checking.sound_crc(name, content)) for name, content in contents)
            return [LogFile(self.name, name, crc) for name, crc in crcs if crc is not None]

    def log_versions(self) -> tuple[int, int] | None:
        """The first and the last version that its log has; None of none."""
        with self._translated():
            names = self._storage.log_names(0)
        return (int(names[0][:20]), int(names[-1][:20])) if names else None

    def is_dispensable(self, path: str) -> bool:
        """Whether a file of the log is a checkpoint, and another one or the entries since the first make up for it."""
        if not path.endswith(".parquet"):
            return False
        with self._translated():
            return _is_enough({name for name in self._storage.log_names(0) if f"{_LOG}{name}" != path})

    def put_log_file(self, path: str, content: bytes | None) -> None:
        """Put this in place of a damaged file of the log, of which a copy is set aside; None takes the file away."""
        with self._using, self._translated():
            self._set_aside(DataFile(path, 0))
            if content is not None:
                self._storage.put(path, pa.py_buffer(content))
            else:
                self._storage.discard(path)
                if path.endswith(".parquet"):
                    self._storage.discard(f"{_LOG}_last_checkpoint")
            self._forget()

    def checkpoints_from(self, path: str) -> list[str]:
        """The checkpoints that the entry with this path went into, where entries and earlier ones make up for them."""
        version = _version(path)
        with self._translated():
            names = self._storage.log_names(0)
        later = [name for name in names if _is_checkpoint(name) and int(name[:20]) >= version]
        return [f"{_LOG}{name}" for name in later] if _is_enough({*names} - {*later}) else []

    def has_checkpoint_of(self, path: str, noted: NotedLog) -> bool:
        """Whether a checkpoint that is as it was written has what the entry with this path said."""
        with self._translated():
            names = self._storage.log_names(_version(path))
            crcs = ((name, noted.get((self.name, name))) for name in names if name[20:] == _WHOLE_CHECKPOINT)
            return any(
                crc is not None and checking.sound_crc(name, self._storage.body(f"{_LOG}{name}")) == crc
                for name, crc in crcs
            )

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        """The entries after the newest that the log has, as far as checksums of them are noted."""
        with self._translated():
            return checking.lost_entries(self.name, self._storage.log_names(0), noted)

    def check_log(self, noted: NotedLog) -> tuple[FileDamage, ...]:
        """Read all of the log, and tell which files of it are damaged."""
        with self._translated():
            paths = [f"{_LOG}{name}" for name in self._storage.log_names(0)]
        return checking.check_log(self.name, self._storage, paths, noted).damage

    def check(self, noted: NotedLog) -> LakeCheck:
        """Read all files of the table, and tell which are damaged, but for old ones of which a copy was set aside."""
        with self._translated():
            sizes, known = self._storage.sizes(), self._aside.sizes()
        if not sizes:
            return LakeCheck()
        log = checking.check_log(self.name, self._storage, sizes, noted)
        damage, added = [*log.damage], dict(log.added)
        current: set[str] = set()
        try:
            for day, several in self.newest().files.items():
                for file in several:
                    current.add(file.path)
                    added.setdefault(file.path, checking.Added(file, day, None))
        except LakeDamaged as error:
            if not damage:
                damage.append(FileDamage(self.name, "_delta_log", error.why))
        found = list(checking.check_data(self.name, self._storage, added, current))
        damage += [one for one in found if isinstance(one, FileDamage) and (one.is_current or one.path not in known)]
        damage += self._doubled()
        return LakeCheck(log.files + len(found), found.count(False), tuple(damage))

    def _doubled(self) -> Iterator[FileDamage]:
        """Days of several files that have rows of an account in more than one collection, or the same row twice."""
        if "ordinal" not in self.schema.names:
            return  # assets of what was replaced stay until the next commit
        with suppress(StoreError):  # what can't be read is damage already
            for day, several in self.newest().files.items():
                if len(several) > 1:
                    rows = self.held(day, columns=["account_id", "collection_id", "ordinal"])
                    if doubled := _doubled_accounts(rows):
                        why = f"it has an account's rows twice, in {len(several)} files: {', '.join(doubled)}"
                        yield FileDamage(self.name, f"{DAY}={day}", why)

    def is_torn(self) -> bool:
        """Whether a power cut left unfinished entries or checkpoints in the log. Raises StoreError."""
        log = self._storage.log
        with self._translated():
            return log is not None and bool(log.find_torn())

    def said(self, key: str) -> int:
        """The number that the newest readable commit with this key says; -1 of none. On this machine's disk alone."""
        log = self._storage.log
        with self._translated():
            return -1 if log is None else log.said(key)

    def check_torn(self, pending: Collection[str], confirmed: int) -> Mapping[Path, str]:
        """What a power cut left unfinished in the log, as `LogFolder.find_torn` tells it.

        confirmed: the greatest version that is known to have been whole. Raises: LakeDamaged, where an entry is damaged
        in a way that no power cut does, or so much is unfinished.
        """
        log = self._storage.log
        if log is None:
            return {}
        with self._translated():
            torn = log.find_torn(pending)
            if len(torn) > MAX_TORN_ENTRIES:
                raise LakeDamaged(self.url, f"{len(torn)} files of its log are empty or cut off")
            damage = log.find_damage(torn, pending, confirmed)
        if damage is not None:
            raise LakeDamaged(self.url, f"its log entry _delta_log/{damage[0]} can't be read: {damage[1]}")
        return torn

    def mend(self, torn: Mapping[Path, str]) -> list[SetAside]:
        """Set aside what `check_torn` found, and make the rest of the log last. To be called by who writes alone."""
        log = self._storage.log
        if log is None:
            return []
        with self._using, self._translated():
            done = log.set_aside(torn)
            if done:
                self._forget()
            self._sync_log(log.newest_version() - _ENTRIES_SYNCED)
        return done

    def _forget(self) -> None:
        """Look at the table as if for the first time."""
        self._handle, self._newest, self._identity = None, EMPTY, None
        self._older.clear()

    def _sync_log(self, since: int) -> None:
        """Make the entries and checkpoints of versions from `since` on survive a power cut."""
        log = self._storage.log
        if log is not None and (paths := list(log.newest_paths(since))):
            self._storage.sync(paths)

    def damaged(self, day: date, why: str, account_id: str | None = None) -> DayDamaged:
        """The error of a day of this table that is not what was committed."""
        kind = _DAMAGE.get(self.name, DayDamaged)
        return kind(self.url, day, why, account_id)

    def check_moved(self, snapshot: Snapshot, day: date, missing: MissingFile) -> None:
        """A file may be missing because it was replaced and removed after we looked. Raises DayDamaged, where not."""
        if self.newest().version == snapshot.version:
            raise self.damaged(day, f"its file {missing} is missing") from missing

    def _commit(self, base: Snapshot, day: date, added: AddAction | None, said: Mapping[str, Any]) -> int:
        """Raises _Moved, where another commit came between; our file is gone then.

        Where the store does not answer, it may still do what it was asked: the file stays then, and the vacuum removes
        it if nobody commits it.
        """
        now = int(time.time() * 1000)
        removed = [RemoveAction(one.path, True, now, one.size, {DAY: day.isoformat()}) for one in base.of(day)]
        actions: list[AddAction | RemoveAction] = [*([added] if added else []), *removed]
        with self._using, self._translated():
            handle = self._opened()
            if handle is None or handle.version() != base.version or self._is_other(base.version):
                self._discard(added)
                raise _Moved
            try:
                self._check_entry(base.version)
            except LakeDamaged:
                self._discard(added)
                raise
            try:
                handle.create_write_transaction(
                    actions,
                    "append",
                    SCHEMAS[self.name],
                    [DAY],
                    commit_properties=CommitProperties(
                        custom_metadata={**said, ACTIONS_KEY: len(actions)}, max_commit_retries=0
                    ),
                    post_commithook_properties=COMMIT_ALONE,
                )
            except (DeltaError, OSError) as error:
                # A store that lost its own answer and asked again finds the commit there, and calls that a conflict;
                # and a checkpoint may fail after the commit.
                newest = self._look(handle)
                ours = self._version_that_added(added, day, base.version + 1, newest)
                if ours is not None:
                    self._sync_log(base.version + 1)
                    return ours
                has_moved = newest.version != base.version
                if has_moved or not isinstance(meaning(error, self.url), LakeUnavailable):
                    self._discard(added)
                if has_moved and isinstance(error, CommitFailedError):
                    raise _Moved from error
                raise
            self._sync_log(base.version + 1)
            return self._look(handle).version

    def _version_that_added(self, added: AddAction | None, day: date, first: int, newest: Snapshot) -> int | None:
        """Which of the versions since `first` brought our file; another commit may have replaced it already."""
        if added is None:
            return None
        name = added.path.rpartition("/")[2].encode()
        for version in range(first, newest.version + 1):
            with suppress(MissingFile):
                if name in self._storage.body(_entry(version)):
                    return version
        return newest.version if any(one.path == added.path for one in newest.of(day)) else None

    def _discard(self, added: AddAction | None) -> None:
        """Remove a file that was not committed."""
        if added is not None:
            self._storage.discard(added.path)

    def _made(self) -> Snapshot:
        """As it is now, made if nobody has made it."""
        snapshot = self.newest()
        if snapshot is not EMPTY:
            return snapshot if self._upgraded() is None else self.newest()
        self._place.make()
        with self._translated():
            self._create()
            self._sync_log(0)
        return self.newest()

    def _upgraded(self) -> int | None:
        """Tell a table of an earlier version of the columns that it lacks; the version that did, else None."""
        with self._using, self._translated():
            handle = self._opened()
            if handle is None or not is_of_earlier_version(handle):
                return None
            before = handle.version()
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    upgrade_table(handle, SCHEMAS[self.name])
                except DeltaError:  # another program did it meanwhile, or wrote something else
                    handle.update_incremental()
                    if is_of_earlier_version(handle) and attempt == ATTEMPTS:
                        raise
                    self._sleep(_wait_seconds(attempt))
                if not is_of_earlier_version(handle):
                    break
            self._sync_log(before + 1)
            return handle.version()

    def _create(self) -> None:
        columns = ",".join(name for name in STATISTICS if name in self.schema.names)
        try:
            DeltaTable.create(
                self._place.table(self.name),
                Schema.from_arrow(SCHEMAS[self.name]),
                partition_by=DAY,
                name=self.name.value,
                configuration={
                    VERSION_KEY: str(SCHEMA_VERSION),
                    "delta.dataSkippingStatsColumns": columns,
                    **retention(self._keep),
                },
                storage_options=dict(self._place.options),
                raise_if_key_not_exists=False,
            )
        except (DeltaError, OSError):
            # Of several that make it at once, one does.
            if self._opened() is None:
                raise

    def _opened(self) -> DeltaTable | None:
        """The handle, checked when it is first opened; None where there is no table."""
        if self._handle is not None and self._newest is not EMPTY and self._is_other(self._newest.version):
            self._forget()
        if self._handle is None:
            if (log := self._storage.log) is not None:
                self._check_entry(log.newest_version())
            try:
                handle = self._delta(None)
            except TableNotFoundError:
                return None
            check_table(handle, self.url, self.name)
            self._handle = handle
        return self._handle

    def _look(self, handle: DeltaTable) -> Snapshot:
        handle.update_incremental()
        if handle.version() != self._newest.version:
            self._check_entry(handle.version())
            check_table(handle, self.url, self.name)
            log = self._storage.log
            self._identity = None if log is None else log.identity(handle.version())
            self._newest = _snapshot(handle)
        return self._newest

    def _check_entry(self, version: int) -> None:
        """Raises LakeDamaged, where an entry is not whole: the library may open the table all the same."""
        log = self._storage.log
        if log is not None and (why := log.lacks(version)) is not None:
            raise LakeDamaged(self.url, f"its log entry {_entry(version)} can't be read: {why}")

    def _is_other(self, version: int) -> bool:
        """Whether another entry has the version that we looked at: ours was set aside, and its number used again."""
        log = self._storage.log
        return log is not None and version == self._newest.version and log.identity(version) != self._identity

    def _handle_at(self, version: int) -> DeltaTable | None:
        """A handle of its own; None where that version is gone, or was never there."""
        if version < 0:
            return None
        try:
            with self._translated():
                return self._delta(version)
        except LakeDamaged:
            # Either this version is not there, or nothing is.
            self.newest()
            return None

    def _delta(self, version: int | None) -> DeltaTable:
        return DeltaTable(self._place.table(self.name), version=version, storage_options=dict(self._place.options))

    def _translated(self) -> Any:
        return translated(self.url, self._place.secrets)

    @contextmanager
    def _of_day(self, day: date) -> Iterator[None]:
        """Errors of libraries in reading a day. Raises DayDamaged; StoreError, where it is not the day's trouble."""
        secrets = self._place.secrets
        try:
            yield
        except (DamagedFile, *UNREADABLE) as error:
            raise self.damaged(day, shown(error, secrets)) from error
        except (DeltaError, BaseError, OSError) as error:
            found = meaning(error, self.url, secrets)
            raise self.damaged(day, found.why) if isinstance(found, LakeDamaged) else found from error
        except BaseException as error:
            if not is_panic(error):
                raise
            raise self.damaged(day, shown(error, secrets)) from error


def _vacuum(handle: DeltaTable, keep: timedelta, *, dry_run: bool) -> list[str]:
    hours = ceil(keep / timedelta(hours=1))
    return handle.vacuum(hours, dry_run=dry_run, enforce_retention_duration=False, full=True)


def retention(keep: timedelta) -> dict[str, str]:
    """How long Delta keeps its log and what was replaced, as table properties."""
    duration = f"interval {max(1, ceil(keep / timedelta(hours=1)))} hours"
    return {_LOG_KEPT: duration, _FILES_KEPT: duration}


def _duration(text: str) -> timedelta:
    """Of a table property; none where it is not in a unit from seconds to weeks."""
    found = re.fullmatch(r"(?:interval +)?(\d+) +(second|minute|hour|day|week)s?", text.strip(), re.IGNORECASE)
    return timedelta() if found is None else timedelta(**{f"{found[2].lower()}s": int(found[1])})


def _snapshot(handle: DeltaTable) -> Snapshot:
    actions = pa.table(handle.get_add_actions(flatten=True))
    by_day: dict[date, tuple[DataFile, ...]] = {}
    columns = (actions[name].to_pylist() for name in (f"partition.{DAY}", "path", "size_bytes"))
    for day, path, size in zip(*columns, strict=True):
        by_day[day] = (*by_day.get(day, ()), DataFile(path, size))
    return Snapshot(handle.version(), by_day)


def _doubled_accounts(rows: pa.Table) -> list[str]:
    """Accounts of a day with rows of several collections, or a row twice."""
    collections = rows.group_by("account_id").aggregate([("collection_id", "count_distinct")])
    several = collections.filter(pc.greater(collections["collection_id_count_distinct"], 1))
    each = rows.group_by(["account_id", "collection_id", "ordinal"]).aggregate([([], "count_all")])
    twice = each.filter(pc.greater(each["count_all"], 1))
    return sorted({*several["account_id"].to_pylist(), *twice["account_id"].to_pylist()})


def _entry(version: int) -> str:
    """The file of the log that makes a version."""
    return f"_delta_log/{version:020d}.json"


def _version(path: str) -> int:
    """Of a file of the log."""
    return int(path.removeprefix(_LOG)[:20])


def _is_checkpoint(name: str) -> bool:
    return name.endswith(".parquet")


def _is_enough(names: Collection[str]) -> bool:
    """Whether a log of these files has all entries since its newest checkpoint, or since the first."""
    entries = {int(name[:20]) for name in names if not _is_checkpoint(name)}
    base = max((int(name[:20]) for name in names if _is_checkpoint(name)), default=-1)
    return bool(entries) and entries.issuperset(range(base + 1, max(entries) + 1))


def _commit_info(entry: bytes) -> Mapping[str, Any]:
    """What a commit says of itself; nothing where another program left that out."""
    for line in entry.splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            info: Mapping[str, Any] = action["commitInfo"]
            return info
    return {}


def check_table(handle: DeltaTable, url: str, name: TableName) -> None:
    """Raises LakeForeign, LakeNewer, LakeProtocolNewer."""
    protocol = handle.protocol()
    features = ", ".join(sorted(protocol.reader_features or ()))
    if features or protocol.min_writer_version > _MAX_WRITER_VERSION:
        # With deletion vectors, for one, rows that count no more are still in the files that we read.
        raise LakeProtocolNewer(url, f"reader features {features}" if features else "its writer version")
    found = handle.metadata().configuration.get(VERSION_KEY)
    if found is None or not found.isdecimal():
        raise LakeForeign(url, f"it lacks the table property {VERSION_KEY}")
    if int(found) > SCHEMA_VERSION:
        raise LakeNewer(url, int(found), SCHEMA_VERSION)
    columns, ours = pa.schema(handle.schema().to_arrow()), SCHEMAS[name]
    if unlike := unlike_columns(columns, ours, int(found)):
        raise LakeForeign(url, f"other columns: {', '.join(unlike[:5])}")


def _wait_seconds(attempt: int) -> float:
    """Longer each time, and never the same for two that wait."""
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    return random.uniform(longest / 4, longest)  # noqa: S311
