"""A Delta table of days: reads a day at a version, and replaces a day in one commit."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError
from obstore.exceptions import BaseError

from kubetally.domain.damage import AssetsDamaged, DayDamaged, FileDamage, LakeCheck, SavingsDamaged
from kubetally.domain.errors import StoreError
from kubetally.domain.maintenance import Maintained
from kubetally.ledger.ports.lake import Lengthen, NotedLog, by_clock
from kubetally.store.lake import checking, files
from kubetally.store.lake.commit import TableMoved, commit_day, discard
from kubetally.store.lake.faults import (
    UNREADABLE,
    LakeDamaged,
    busy,
    is_panic,
    meaning,
    shown,
)
from kubetally.store.lake.files import DamagedFile
from kubetally.store.lake.maintenance import clean_up
from kubetally.store.lake.open_table import ATTEMPTS, EMPTY, OpenTable, Snapshot, wait_seconds
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import DAY, SCHEMAS, TableName, in_files
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.table_log import TableLog

Keep = Callable[[pa.Table], Collection[str]]
"""Returns the ids of the collections whose rows stay in a day's table."""

_DAMAGE: Mapping[TableName, type[DayDamaged]] = {
    TableName.ASSETS: AssetsDamaged,
    TableName.RUNNING_ASSETS: AssetsDamaged,
    TableName.SAVINGS: SavingsDamaged,
}


class DayTable:
    """A table of the lake. Threads may share it; each commit is of one day. Raises StoreError."""

    def __init__(
        self, place: Place, name: TableName, keep: timedelta, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.name = name
        self.url = place.shown_table(name)
        self.schema = in_files(SCHEMAS[name])
        self._place, self._sleep = place, sleep
        self._table = OpenTable(place, name, keep, sleep)
        self.log = TableLog(self._table)
        self._writing = Lock()

    def seen(self) -> Snapshot:
        """As `OpenTable.seen`."""
        return self._table.seen()

    def newest(self) -> Snapshot:
        """As `OpenTable.newest`."""
        return self._table.newest()

    def at(self, version: int) -> Snapshot | None:
        """As `OpenTable.at`."""
        return self._table.at(version)

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
            tables = [
                files.read(self._table.storage, file, self.schema, accounts, columns) for file in snapshot.of(day)
            ]
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def content_of(self, day: date, file: files.DataFile) -> tuple[Mapping[str, frozenset[str]], bool]:
        """The collections that have rows in a file by account, and whether version 1 of the lake wrote it.

        Raises: DayDamaged; MissingFile, where it was removed since.
        """
        with self._of_day(day):
            return files.content_of(self._table.storage, file, self.schema)

    def current_rows(
        self, day: date, accounts: Collection[str] | None = None, columns: list[str] | None = None
    ) -> pa.Table:
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
        commit_metadata: Mapping[str, Any],
        *,
        keep: Keep = lambda _: (),
        check_lease: Callable[[], None] = lambda: None,
        replace_damaged: bool = False,
    ) -> int:
        """Put tables of accounts in place of what they have of this day, in one commit; returns its version.

        commit_metadata: added to the commit's entry in the log.
        keep: called with the day's rows each time they are read; returns which collections' rows stay beside the new.
        check_lease: called before each attempt to commit, after the day was read: it sees who committed before it, and
        who commits after it makes our commit fail. Where it raises, the written file is removed, the error passed on.
        replace_damaged: replace a damaged file of the day by its readable rows, and set a copy of it aside.
        Raises: StoreError; DayDamaged, where the present file of the day is missing or damaged.
        """
        version = self._write(
            day,
            lambda current: files.merged(current, new, keep(current)),
            commit_metadata,
            check_lease,
            replace_damaged=replace_damaged,
        )
        assert version is not None  # noqa: S101
        return version

    def rewrite(
        self, day: date, change: Callable[[pa.Table], pa.Table | None], check_lease: Callable[[], None] = lambda: None
    ) -> int | None:
        """Replace a day by what `change` returns for it; None, and no commit, where that is None.

        change: called each time the day is read. check_lease: as `put` calls it. Raises: as `put`.
        """

        def changed(current: pa.Table) -> list[pa.Table] | None:
            table = change(current)
            return None if table is None else files.merged(table, {})

        return self._write(day, changed, {}, check_lease)

    def _write(
        self,
        day: date,
        change: Callable[[pa.Table], list[pa.Table] | None],
        commit_metadata: Mapping[str, Any],
        check_lease: Callable[[], None],
        *,
        replace_damaged: bool = False,
    ) -> int | None:
        with self._writing:
            for attempt in range(ATTEMPTS):
                if attempt:
                    self._sleep(wait_seconds(attempt))
                base = self._table.make()
                try:
                    current = self._rows_at(base, day, replace_damaged=replace_damaged)
                except MissingFile:
                    continue
                tables = change(current)
                if tables is None:
                    return None
                with self._table.translated():
                    added = files.write(self._table.storage, day, tables, self.schema) if tables else None
                try:
                    check_lease()
                except BaseException:
                    discard(self._table, added)
                    raise
                try:
                    return commit_day(self._table, base, day, added, commit_metadata)
                except TableMoved:
                    continue
        raise busy(self.url, ATTEMPTS)

    def _rows_at(self, base: Snapshot, day: date, *, replace_damaged: bool) -> pa.Table:
        """The rows of a day; with replace_damaged, those that can be read.

        Raises: DayDamaged; MissingFile, where the file was replaced meanwhile.
        """
        try:
            try:
                return self.read(base, day)
            except MissingFile as error:
                self.check_moved(base, day, error)
                raise
        except DayDamaged:
            if not replace_damaged:
                raise
        with self._table.translated():
            for file in base.of(day):
                self._table.set_aside(file.path)
            readable = [files.salvage(self._table.storage, file, self.schema) for file in base.of(day)]
        return pa.concat_tables([self.schema.empty_table(), *readable])

    def repair_file(self, damage: FileDamage) -> None:
        """Set a copy of a damaged file aside, and rewrite its day where the newest version uses the file."""
        if damage.is_current and damage.day is not None:
            self.put(damage.day, {}, {}, replace_damaged=True)
        else:
            with self._table.translated():
                self._table.set_aside(damage.path)

    def check(self, noted: NotedLog) -> LakeCheck:
        """Read all files of the table; returns the damage, without old files whose copy was set aside before."""
        with self._table.translated():
            sizes, known = self._table.storage.sizes(), self._table.aside.sizes()
        if not sizes:
            return LakeCheck()
        log = checking.check_log(self.name, self._table.storage, sizes, noted)
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
        results = list(checking.check_data(self.name, self._table.storage, added, current))
        damage += [
            result
            for result in results
            if isinstance(result, FileDamage) and (result.is_current or result.path not in known)
        ]
        damage += self._find_duplicate_rows()
        return LakeCheck(log.files + len(results), results.count(False), tuple(damage))

    def _find_duplicate_rows(self) -> Iterator[FileDamage]:
        """Days of several files that have rows of an account in more than one collection, or the same row twice."""
        if "ordinal" not in self.schema.names:
            return  # assets of what was replaced stay until the next commit
        with suppress(StoreError):  # what can't be read is damage already
            for day, several in self.newest().files.items():
                if len(several) > 1:
                    rows = self.current_rows(day, columns=["account_id", "collection_id", "ordinal"])
                    if doubled := _doubled_accounts(rows):
                        why = f"it has an account's rows twice, in {len(several)} files: {', '.join(doubled)}"
                        yield FileDamage(self.name, f"{DAY}={day}", why)

    def damaged(self, day: date, why: str, *, account_id: str | None = None) -> DayDamaged:
        """The error for a day of this table that differs from what was committed."""
        kind = _DAMAGE.get(self.name, DayDamaged)
        return kind(self.url, day, why=why, account_id=account_id)

    def check_moved(self, snapshot: Snapshot, day: date, missing: MissingFile) -> None:
        """Raise DayDamaged, unless the file was replaced and removed after the snapshot was read."""
        if self.newest().version == snapshot.version:
            raise self.damaged(day, f"its file {missing} is missing") from missing

    @contextmanager
    def _of_day(self, day: date) -> Iterator[None]:
        """Translate errors of reading a day: DayDamaged; StoreError, where the cause is not in the day's files."""
        secrets = self._place.secrets
        try:
            yield
        except (DamagedFile, *UNREADABLE) as error:
            raise self.damaged(day, shown(error, secrets)) from error
        except (DeltaError, BaseError, OSError) as error:
            cause = meaning(error, self.url, secrets)
            raise self.damaged(day, cause.why) if isinstance(cause, LakeDamaged) else cause from error
        except BaseException as error:
            if not is_panic(error):
                raise
            raise self.damaged(day, shown(error, secrets)) from error

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """One file a day, a checkpoint, and nothing that was replaced longer than `keep` ago.

        Where the table's own retention is longer, that applies, unless `shorten`.
        """
        snapshot = self.newest()
        if snapshot is EMPTY:
            return Maintained()
        scattered = [day for day, several in snapshot.files.items() if len(several) > 1]
        compacted = 0
        for day in scattered:
            with suppress(DayDamaged):  # one damaged day must not stop maintenance
                self.put(day, {}, {})
                compacted += 1
        done = clean_up(self._table, snapshot.version, keep, shorten, lengthen)
        return replace(done, compacted=compacted)


def _doubled_accounts(rows: pa.Table) -> list[str]:
    """Accounts of a day with rows of several collections, or a row twice."""
    collections = rows.group_by("account_id").aggregate([("collection_id", "count_distinct")])
    several = collections.filter(pc.greater(collections["collection_id_count_distinct"], 1))
    each = rows.group_by(["account_id", "collection_id", "ordinal"]).aggregate([([], "count_all")])
    twice = each.filter(pc.greater(each["count_all"], 1))
    return sorted({*several["account_id"].to_pylist(), *twice["account_id"].to_pylist()})
