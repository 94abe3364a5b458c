"""The lake of collected days: four Delta tables under one URL, where a commit replaces account-days of one day.

Beside them lie the tables of savings and of accounts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial

from kubetally.domain.account import ListedAccount
from kubetally.domain.asset import Asset
from kubetally.domain.collection import CollectedDay
from kubetally.domain.collection import Collection as Collected
from kubetally.domain.damage import DayDamaged, FileDamage, LakeCheck, SetAside
from kubetally.domain.errors import StoreError
from kubetally.domain.maintenance import Maintained
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow
from kubetally.ledger.ports.lake import (
    HISTORY_KEPT,
    AssetScans,
    Lengthen,
    LocalScans,
    LogFile,
    NotedLog,
    PackedDay,
    PackedSavings,
    Scan,
    StoredIds,
    StoredRows,
    by_clock,
)
from kubetally.store.collection_text import collections_to_text
from kubetally.store.lake.accounts import AccountTable
from kubetally.store.lake.collection_reader import CollectionReader
from kubetally.store.lake.commit_records import CommitRecords
from kubetally.store.lake.encode import allocation_tables, asset_tables
from kubetally.store.lake.faults import translated
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.housekeeping import drop_finished_days, drop_replaced_assets, reconcile_account
from kubetally.store.lake.local_copies import CacheFolder, LocalCopies
from kubetally.store.lake.open_table import EMPTY
from kubetally.store.lake.packing import DayTables, tables_of
from kubetally.store.lake.place import Place
from kubetally.store.lake.rollups import RollUpFiles
from kubetally.store.lake.savings import SavingsTable, savings_table
from kubetally.store.lake.scans import ScanPlanner
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.table_log import TableLog
from kubetally.store.lake.table_pair import ASSETS_VERSION_KEY, RECORD_KEY, TablePair, TablePairs, collection_ids
from kubetally.store.lake.tables import DayTable

RUNNING_KEPT = timedelta(hours=1)
"""The same of running days, which are replaced every quarter of an hour."""

_NOTHING_NOTED: NotedLog = {}
_READERS = 4


class DeltaLake:
    """The port `Lake` on Delta tables. Threads may share it. Raises StoreError."""

    def __init__(
        self,
        url: str,
        *,
        storage_options: Mapping[str, str] | None = None,
        keep: timedelta = HISTORY_KEPT,
        keep_running: timedelta = RUNNING_KEPT,
        cache: CacheFolder | None = None,
        place: Callable[[str, Mapping[str, str] | None], Place] = Place.parse,
    ) -> None:
        """
        url:             a folder (path or file URL, made when first written to), or s3://, gs://, az:// with a path.
        storage_options: of the object store: endpoint, region, credentials; as object_store and Delta name them.
        keep:            how long what was replaced stays readable; of running days, `keep_running`.
        cache:           where queries keep copies of files of an object store; without one they can't read it.
        place:           what a URL and its options mean; a test may name another disk.
        Raises:          RequestError.
        """
        self._place = place(url, storage_options)
        self._pairs = TablePairs(
            TablePair(self._place, TableName.ALLOCATIONS, assets=TableName.ASSETS, keep=keep),
            TablePair(self._place, TableName.RUNNING, assets=TableName.RUNNING_ASSETS, keep=keep_running),
        )
        self._reader, self._commits = CollectionReader(self.url, self._pairs), CommitRecords(self._pairs)
        self._scans, self._copies = ScanPlanner(self.url, self._pairs), LocalCopies(self._place, cache)
        self.roll_ups = RollUpFiles(self._place)
        self._accounts, self._savings = AccountTable(self._place, keep), SavingsTable(self._place, keep)

    def __repr__(self) -> str:
        return f"DeltaLake({self.url!r})"

    @property
    def url(self) -> str:
        return self._place.url

    def make(self) -> None:
        self._place.make()
        for table in self._day_tables():
            table.newest()

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        tables = zip(allocation_tables(days), asset_tables(days), strict=True)
        return [PackedDay(day.collection, DayTables(*its)) for day, its in zip(days, tables, strict=True)]

    def is_torn(self) -> bool:
        return any(table.log.is_torn() for table in self._day_tables())

    def mend(self, pending: Collection[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        torn = []
        for pair, version in zip(self._pairs, confirmed, strict=True):
            rows, assets = pair.rows.log, pair.assets.log
            torn.append((rows, rows.check_torn(pending, version)))
            # Assets are on the disk before the rows that go with them are committed.
            whole = rows.newest_metadata(ASSETS_VERSION_KEY) if assets.is_torn() else -1
            torn.append((assets, assets.check_torn(pending, whole)))
        savings = self._savings.days.log
        torn.append((savings, savings.check_torn(pending, -1)))
        return [file for log, files in torn for file in log.mend(files)]

    def newest_version(self) -> int | None:
        newest = self._pairs.days.rows.newest()
        return None if newest is EMPTY else newest.version

    def check_writable(self) -> None:
        with translated(self.url, self._place.secrets):
            self._place.storage("").check_writable()

    def replace(
        self,
        days: Sequence[PackedDay],
        *,
        check_lease: Callable[[], None] = lambda: None,
        replace_damaged: bool = False,
    ) -> int:
        day, is_running = _kind_of(days)
        record = {} if is_running else {RECORD_KEY: collections_to_text(packed.collection for packed in days)}
        tables = [(packed.collection, tables_of(packed)) for packed in days]
        return self._pairs.of(days[0].collection).replace(
            day, tables, record, check_lease, replace_damaged=replace_damaged
        )

    def put(self, days: Sequence[CollectedDay]) -> int:
        return self.replace(self.pack(days))

    def rows(self, collections: Sequence[Collected], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        return self._reader.rows(collections, with_details=with_details)

    def scans(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> list[Scan]:
        return self._scans.plan(stored, accounts)

    def asset_scans(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> AssetScans:
        return self._scans.plan_assets(stored, accounts)

    def local(self, scans: Sequence[Scan]) -> LocalScans:
        return self._copies.of(scans)

    def verify_rows(self, collections: Sequence[Collected]) -> None:
        self._reader.verify_rows(collections)

    def assets(self, collections: Sequence[Collected]) -> dict[str, tuple[Asset, ...]]:
        return self._reader.assets(collections)

    def versions_of(self, collections: Iterable[Collected]) -> dict[str, int]:
        return self._commits.versions_of(collections)

    def named_since(self, version: int) -> set[str]:
        return self._commits.ids_since(version)

    def recorded(self, ids: Collection[str]) -> dict[str, Collected]:
        return self._commits.recorded(ids)

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collected]:
        return self._commits.rebuilt(keys)

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        count = self.roll_ups.drop(account_id, keep=currencies)
        damage: DayDamaged | None = None
        for change in (partial(reconcile_account, self._pairs.tables()), self._savings.reconcile):
            try:
                count += change(account_id, currencies, check_lease)
            except DayDamaged as error:
                damage = error
        if damage is not None:
            raise damage
        return count

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        table = (self._pairs.running if is_running else self._pairs.days).rows

        def read(day: date) -> Mapping[str, frozenset[str]] | None:
            try:
                stored = table.current_rows(day, columns=["account_id", "collection_id"])
            except StoreError as error:
                if error.retryable:
                    raise
                return None
            ids = defaultdict[str, set[str]](set)
            for account, rows in slices_by(stored, "account_id"):  # in several runs, where a day has several files
                ids[account] |= collection_ids(rows)
            return {account: frozenset(its) for account, its in ids.items()}

        days = sorted(table.newest().files)
        with ThreadPoolExecutor(_READERS) as readers:
            by_day = dict(zip(days, readers.map(read, days), strict=True))
        readable = {day: ids for day, ids in by_day.items() if ids is not None}
        return StoredIds(readable, frozenset(by_day.keys() - readable.keys()))

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        return PackedSavings(savings.id, savings.account_id, savings.day, savings_table(savings))

    def replace_savings(
        self, packed: Sequence[PackedSavings], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        return self._savings.replace(packed, check_lease)

    def savings(self, known: Sequence[SavingsDay]) -> dict[str, tuple[SavingsRow, ...] | DayDamaged]:
        return self._savings.read(known)

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        return self._savings.damaged(known)

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        return self._savings.packed(known)

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        return self._accounts.put(accounts)

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        running = self._pairs.running
        done = [table.maintain(running.keep, True, lengthen=lengthen) for table in (running.rows, running.assets)]
        return sum(table.vacuumed for table in done)

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """See `Lake`. What was replaced of running days is removed after an hour.

        A finished day leaves the tables of running days for each account that has rows of it in the table of days. The
        returned version is that of `allocations`.
        """
        days, running = self._pairs
        drop_finished_days(running, days=days)
        drop_replaced_assets(running)
        done = [
            table.maintain(min(keep, pair.keep), shorten or pair is running, lengthen=lengthen)
            for pair in self._pairs
            for table in (pair.rows, pair.assets)
        ]
        done.append(self._savings.days.maintain(min(keep, days.keep), shorten, lengthen=lengthen))
        self._accounts.maintain(min(keep, days.keep), lengthen)
        compacted, vacuumed = sum(table.compacted for table in done), sum(table.vacuumed for table in done)
        held_back = sum(table.held_back for table in done)
        return Maintained(compacted, vacuumed, done[0].checkpoint, done[0].kept, held_back)

    def check(self, noted: NotedLog = _NOTHING_NOTED) -> LakeCheck:
        checks = [*(table.check(noted) for table in self._day_tables()), self._accounts.check()]
        return LakeCheck(
            sum(check.files for check in checks),
            sum(check.without_checksum for check in checks),
            tuple(damage for check in checks for damage in check.damage),
        )

    def _day_tables(self) -> list[DayTable]:
        return [*self._pairs.tables(), self._savings.days]

    def _log_of(self, damage: FileDamage) -> TableLog | None:
        """The log that a damaged file belongs to; None, where it is not one of a table of days."""
        return next((table.log for table in self._day_tables() if table.name == damage.table), None)

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        running = self._pairs.running
        tables = (running.rows, running.assets) if only_running else self._day_tables()
        return tuple(damage for table in tables for damage in table.log.check(noted))

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        return [damage for table in self._day_tables() for damage in table.log.lost_files(noted)]

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        return [file for table in self._day_tables() for file in table.log.files(newest.get(table.name, 0))]

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        by_table = {table.name.value: table.log.versions() for table in self._day_tables()}
        return {name: versions for name, versions in by_table.items() if versions is not None}

    def is_dispensable(self, damage: FileDamage) -> bool:
        log = self._log_of(damage)
        return log is not None and log.is_dispensable(damage.path)

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        log, why = self._log_of(entry), f"{entry.path} was damaged"
        paths = [] if log is None else log.checkpoints_from(entry.path)
        return [FileDamage(entry.table, path, why) for path in paths]

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        log = self._log_of(entry)
        return log is not None and log.has_checkpoint_of(entry.path, noted)

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        log = self._log_of(damage)
        if log is not None:
            log.put_file(damage.path, content)

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        self._accounts.remake(accounts)

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        tables = {table.name: table for table in self._day_tables()}
        for file in damage:
            if file.table in tables and file.day is not None:
                tables[TableName(file.table)].repair_file(file)


def _kind_of(days: Sequence[PackedDay]) -> tuple[date, bool]:
    """The day, and whether it is running. Raises ValueError, where days differ in it or have an account twice."""
    kinds = {(day.collection.day, day.collection.is_running) for day in days}
    if len(kinds) != 1:
        raise ValueError(f"all days of a commit must be one day, all running or none: {sorted(kinds)}")
    if len({day.collection.account_id for day in days}) != len(days):
        raise ValueError("a commit takes one collection per account")
    return kinds.pop()
