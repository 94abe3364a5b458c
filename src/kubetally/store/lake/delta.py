"""The lake of collected days: four Delta tables under one URL, of which a commit replaces account-days of one day.

Beside them lie the tables of savings and of accounts.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.account import ListedAccount
from kubetally.domain.asset import Asset
from kubetally.domain.collection import CollectedDay
from kubetally.domain.collection import Collection as Collected
from kubetally.domain.errors import StoreError
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow
from kubetally.domain.stored_sums import RowSums, compare_assets, compare_row_sums, compare_rows
from kubetally.ledger.ports.damage import CollectionGone, DayDamaged, FileDamage, LakeCheck, SetAside
from kubetally.ledger.ports.lake import (
    HISTORY_KEPT,
    Lengthen,
    LogFile,
    Maintained,
    NotedLog,
    PackedDay,
    PackedSavings,
    StoredIds,
    by_clock,
)
from kubetally.store.collection_text import collections_from_text, collections_to_text
from kubetally.store.lake.accounts import AccountTable
from kubetally.store.lake.decode import FIGURES, assets_of, collection_of, row_sums_of, rows_of
from kubetally.store.lake.encode import allocation_tables, asset_tables
from kubetally.store.lake.faults import UNREADABLE, LakeDamaged, shown, translated
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.log_folder import COLLECTIONS_KEY
from kubetally.store.lake.place import Place
from kubetally.store.lake.savings import SavingsTable, savings_table
from kubetally.store.lake.schema import COST_COLUMNS, TableName
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.tables import EMPTY, DayTable, Snapshot

RUNNING_KEPT = timedelta(hours=1)
"""The same of running days, which are replaced every quarter of an hour."""

ASSETS_VERSION_KEY = "kubetally.assets_version"
"""In a commit of rows: the version of the table of assets that goes with it."""

RECORD_KEY = "kubetally.record"
"""In a commit of days: what the database notes of the collections, compressed, to be restored from it."""

_NOTHING_NOTED: NotedLog = {}
_CLOCKS_DIFFER = timedelta(hours=1)
_READERS = 4
_Item = TypeVar("_Item")


class _Tables(NamedTuple):
    """A day's rows and assets as its files hold them."""

    rows: pa.Table
    assets: pa.Table

    def __reduce__(self) -> tuple[Callable[..., "_Tables"], tuple[bytes, bytes]]:
        """For another process. A column may be a slice of a larger one, all of which a pickle of it would hold."""
        return _unpickled, (_streamed(self.rows), _streamed(self.assets))


class _TablePair:
    """A table of rows and the table of the assets that go with them."""

    def __init__(self, place: Place, rows: TableName, assets: TableName, keep: timedelta) -> None:
        self.rows, self.assets, self.keep = DayTable(place, rows, keep), DayTable(place, assets, keep), keep


class DeltaLake:
    """The port `ledger.stored.Lake` on Delta tables. Threads may share it. Raises StoreError."""

    def __init__(
        self,
        url: str,
        *,
        storage_options: Mapping[str, str] | None = None,
        keep: timedelta = HISTORY_KEPT,
        keep_running: timedelta = RUNNING_KEPT,
        place: Callable[[str, Mapping[str, str] | None], Place] = Place.parse,
    ) -> None:
        """
        url:             a folder (path or file URL, made when first written to), or s3://, gs://, az:// with a path.
        storage_options: of the object store: endpoint, region, credentials; as object_store and Delta name them.
        keep:            how long what was replaced stays readable; of running days, `keep_running`.
        place:           what a URL and its options mean; a test may name another disk.
        Raises:          InvalidLakeUrl.
        """
        self._place = place(url, storage_options)
        self._days = _TablePair(self._place, TableName.ALLOCATIONS, TableName.ASSETS, keep)
        self._accounts = AccountTable(self._place, keep)
        self._savings = SavingsTable(self._place, keep)
        self._running = _TablePair(self._place, TableName.RUNNING, TableName.RUNNING_ASSETS, keep_running)

    def __repr__(self) -> str:
        return f"DeltaLake({self.url!r})"

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._place.url

    def make(self) -> None:
        """Make the folder where it is missing, and look at the tables that there are. Raises StoreError."""
        self._place.make()
        for pair in (self._days, self._running):
            pair.rows.newest()
            pair.assets.newest()
        self._savings.days.newest()

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        """Rows and assets as Arrow tables. Raises ValueBeyondLake."""
        tables = zip(allocation_tables(days), asset_tables(days), strict=True)
        return [PackedDay(day.collection, _Tables(*its)) for day, its in zip(days, tables, strict=True)]

    def is_torn(self) -> bool:
        """Whether a power cut left something unfinished in the logs, which `mend` sets aside."""
        return any(table.is_torn() for table in self._day_tables())

    def mend(self, pending: Collection[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        """Set aside what a power cut left unfinished in the logs; what they name then is on the disk.

        Raises: LakeDamaged, where anything is damaged in a way that no power cut does; nothing is set aside then.
        """
        torn = []
        for pair, version in zip((self._days, self._running), confirmed, strict=True):
            torn.append((pair.rows, pair.rows.check_torn(pending, version)))
            # Assets are on the disk before the rows that go with them are committed.
            whole = pair.rows.said(ASSETS_VERSION_KEY) if pair.assets.is_torn() else -1
            torn.append((pair.assets, pair.assets.check_torn(pending, whole)))
        torn.append((self._savings.days, self._savings.days.check_torn(pending, -1)))
        return [file for table, its in torn for file in table.mend(its)]

    def newest_version(self) -> int | None:
        """The version of the table of days as it is now; None where there is no table."""
        newest = self._days.rows.newest()
        return None if newest is EMPTY else newest.version

    def check_writable(self) -> None:
        """See that files can be made where the lake is. Raises StoreError."""
        with translated(self.url, self._place.secrets):
            self._place.storage("").check_writable()

    def replace(
        self, days: Sequence[PackedDay], *, go_on: Callable[[], None] = lambda: None, anew: bool = False
    ) -> int:
        """Put these account-days, all of one day and all running or none, in place of those that are held.

        Assets go first. Those of the collections that are replaced stay until the next time, because until the rows
        are committed they are the ones that hold, and forever if we are killed in between. `go_on` is not asked once
        the rows are there: their assets have to be there too, whoever commits now.
        """
        day, pair = self._day_of(days), self._pair(days[0].collection)
        tables = [(one.collection, _tables_of(one)) for one in days]
        rows = {one.account_id: its.rows for one, its in tables}
        assets = {one.account_id: its.assets for one, its in tables}
        counts = {one.id: [its.rows.num_rows, its.assets.num_rows] for one, its in tables}
        said = {COLLECTIONS_KEY: counts}

        def current_ids(held: pa.Table) -> set[str]:
            try:
                return self._ids_held(pair, day, list(rows)) - counts.keys()
            except DayDamaged:
                if not anew:
                    raise
                return _ids(held) - counts.keys()

        assets_version = pair.assets.put(day, assets, said, keep=current_ids, go_on=go_on, anew=anew)
        record = {} if pair is self._running else {RECORD_KEY: collections_to_text(one.collection for one in days)}
        said_of_rows = {**said, ASSETS_VERSION_KEY: assets_version, **record}
        version = pair.rows.put(day, rows, said_of_rows, go_on=go_on, anew=anew)
        if pair.assets.newest().version != assets_version:
            self._put_back(pair, day, assets, counts)
        return version

    def put(self, days: Sequence[CollectedDay]) -> int:
        """`replace` of days that are packed now."""
        return self.replace(self.pack(days))

    def rows(self, collections: Sequence[Collected], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        """The rows of collections, each as it was written; with_details: all that is stored of them.

        A collection's rows never change, so they are looked for where they most likely are: in the newest version,
        and what was replaced meanwhile in the last version that had it, else the one that it was committed with.
        Raises: CollectionGone; DayDamaged, where they are not those that were committed.
        """
        wanted = [one for one in collections if one.rows]
        found, damage = self._read(wanted, _WHOLE_ROWS if with_details else _ROWS)
        for one in wanted:
            if one.id not in found:
                raise damage.get(one.id) or self._gone(one)
        return {one.id: found.get(one.id, ()) for one in collections}

    def verify_rows(self, collections: Sequence[Collected]) -> None:
        """See that rows come to what was recorded, by sums of columns. Raises: as `rows`."""
        wanted = [one for one in collections if one.rows]
        found, damage = self._read(wanted, _ROW_SUMS)
        for one in wanted:
            if one.id not in found:
                raise damage.get(one.id) or self._gone(one)

    def assets(self, collections: Sequence[Collected]) -> dict[str, tuple[Asset, ...]]:
        """The assets of collections by their id, verified as rows are. Raises CollectionGone, DayDamaged."""
        wanted = [one for one in collections if one.asset_sums is None or one.asset_sums.number]
        found, damage = self._read_newest(wanted, _ASSETS)
        for one in wanted:
            if one.id not in found:
                found[one.id] = self._older_assets(one, damage.get(one.id))
        return {one.id: found.get(one.id, ()) for one in collections}

    def versions_of(self, collections: Iterable[Collected]) -> dict[str, int]:
        """Which of these were committed: as the log tells, or where its entries are gone, the rows themselves."""
        versions: dict[str, int] = {}
        for pair, some in self._by_pair(collections):
            versions |= self._committed(pair, some)
        return versions

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        """The collections whose rows the table has now, by day and account; days that can't be read apart."""
        table = (self._running if is_running else self._days).rows

        def read(day: date) -> Mapping[str, frozenset[str]] | None:
            try:
                held = table.held(day, columns=["account_id", "collection_id"])
            except StoreError as error:
                if error.retryable:
                    raise
                return None
            ids = defaultdict[str, set[str]](set)
            for account, rows in slices_by(held, "account_id"):  # in several runs, where a day has several files
                ids[account] |= _ids(rows)
            return {account: frozenset(its) for account, its in ids.items()}

        days = sorted(table.newest().files)
        with ThreadPoolExecutor(_READERS) as readers:
            found = dict(zip(days, readers.map(read, days), strict=True))
        readable = {day: ids for day, ids in found.items() if ids is not None}
        return StoredIds(readable, frozenset(found.keys() - readable.keys()))

    def named_since(self, version: int) -> set[str]:
        """The collections that commits of the table of days after this version name."""
        newer = itertools.takewhile(lambda commit: commit.version > version, self._days.rows.commits())
        return {id_ for commit in newer for id_ in commit.said.get(COLLECTIONS_KEY, {})}

    def recorded(self, ids: Collection[str]) -> dict[str, Collected]:
        """These collections as their commits describe them, with their versions, by id; others are not there."""
        missing, found = set(ids), dict[str, Collected]()
        for commit in self._days.rows.commits() if missing else ():
            if missing & commit.said.get(COLLECTIONS_KEY, {}).keys() and RECORD_KEY in commit.said:
                for collection in collections_from_text(commit.said[RECORD_KEY]):
                    if collection.id in missing:
                        missing.discard(collection.id)
                        found[collection.id] = replace(collection, version=commit.version)
            if not missing:
                break
        return found

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collected]:
        """These collections, by id of an account and day, as far as their rows and assets tell."""
        if not keys:
            return []
        versions = {
            id_: commit.version for commit in self._days.rows.commits() for id_ in commit.said.get(COLLECTIONS_KEY, ())
        }
        newest, found = self._days.rows.newest().version, list[Collected]()
        for id_, (account_id, day) in keys.items():
            held = self._days.rows.held(day, [account_id])
            mine = held.filter(pc.equal(held["collection_id"], id_))
            if mine.num_rows:
                found.append(replace(collection_of(mine), version=versions.get(id_, newest)))
        return found

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, go_on: Callable[[], None] = lambda: None
    ) -> int:
        """Remove the account's rows and assets that are of none of these collections, and set the currency of others.

        It looks at every day, because what the database knew of the days may be gone.
        Raises: DayDamaged, once all other days are done.
        """
        count = 0
        damage: DayDamaged | None = None
        change = partial(_reconciled, account_id, currencies)
        columns = ["account_id", "collection_id", "currency"]
        for pair in (self._days, self._running):
            for table in (pair.rows, pair.assets):
                for day in sorted(table.newest().files):
                    try:
                        if change(table.held(day, [account_id], columns)) is not None:
                            count += table.rewrite(day, change, go_on) is not None
                    except DayDamaged as error:
                        damage = error
        try:
            count += self._savings.reconcile(account_id, currencies, go_on)
        except DayDamaged as error:
            damage = error
        if damage is not None:
            raise damage
        return count

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        """Savings as an Arrow table. Raises ValueBeyondLake."""
        return PackedSavings(savings.id, savings.account_id, savings.day, savings_table(savings))

    def replace_savings(self, packed: Sequence[PackedSavings], *, go_on: Callable[[], None] = lambda: None) -> int:
        """Put the savings of accounts on one day in place of those that they have of it."""
        return self._savings.replace(packed, go_on)

    def savings(self, known: Sequence[SavingsDay]) -> dict[str, tuple[SavingsRow, ...] | DayDamaged]:
        """The rows of stored savings by id, verified; or how they are damaged."""
        return self._savings.read(known)

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        """Those of stored savings that are damaged, and how."""
        return self._savings.damaged(known)

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        """Stored savings as another lake takes them; without those that are damaged."""
        return self._savings.packed(known)

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        """Write the table of accounts, unless it says the same already; whether it was written."""
        return self._accounts.put(accounts)

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        """As `maintain`, of the tables of running days alone, of which each collection leaves a file behind."""
        keep, tables = self._running.keep, (self._running.rows, self._running.assets)
        return sum(table.maintain(keep, shorten=True, lengthen=lengthen).vacuumed for table in tables)

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """One file a day, a checkpoint, and nothing that was replaced longer than `keep` ago (running days: an hour).

        Where the tables were told before to keep it longer, that holds, unless `shorten`: what is removed is gone for
        good. A day that is over leaves the tables of running days for each account that has rows of it in the table of
        days. The version told is that of `allocations`.
        """
        self._drop_finished()
        self._drop_assets_of_replaced()
        done = [
            table.maintain(min(keep, pair.keep), shorten or pair is self._running, lengthen=lengthen)
            for pair in (self._days, self._running)
            for table in (pair.rows, pair.assets)
        ]
        done.append(self._savings.days.maintain(min(keep, self._days.keep), shorten, lengthen=lengthen))
        self._accounts.maintain(min(keep, self._days.keep), lengthen)
        compacted, vacuumed = sum(one.compacted for one in done), sum(one.vacuumed for one in done)
        return Maintained(compacted, vacuumed, done[0].checkpoint, done[0].kept, sum(one.held_back for one in done))

    def check(self, noted: NotedLog = _NOTHING_NOTED) -> LakeCheck:
        """Read every file of all tables, logs too, and tell which are damaged. Raises StoreError."""
        checks = [*(table.check(noted) for table in self._day_tables()), self._accounts.check()]
        return LakeCheck(
            sum(check.files for check in checks),
            sum(check.without_checksum for check in checks),
            tuple(damage for check in checks for damage in check.damage),
        )

    def _day_tables(self) -> list[DayTable]:
        tables = [table for pair in (self._days, self._running) for table in (pair.rows, pair.assets)]
        return [*tables, self._savings.days]

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        """As `check`, of the logs of the tables of days alone; only_running: of running days."""
        tables = (self._running.rows, self._running.assets) if only_running else self._day_tables()
        return tuple(damage for table in tables for damage in table.check_log(noted))

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        """The entries after the newest of a log that are noted; the quick part of `check_log`."""
        return [damage for table in self._day_tables() for damage in table.lost_log_files(noted)]

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        """The files of the logs from these versions on, by table, that can be read; of a table without one all."""
        return [file for table in self._day_tables() for file in table.log_files(newest.get(table.name, 0))]

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        """The first and the last version that the log of each table of days has."""
        found = {table.name.value: table.log_versions() for table in self._day_tables()}
        return {name: versions for name, versions in found.items() if versions is not None}

    def is_dispensable(self, damage: FileDamage) -> bool:
        """Whether a file of a log is a checkpoint, and other files make up for it."""
        return any(table.is_dispensable(damage.path) for table in self._day_tables() if table.name == damage.table)

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        """The checkpoints that an entry went into, where other files of the log make up for them."""
        why = f"{entry.path} was damaged"
        tables = (table for table in self._day_tables() if table.name == entry.table)
        return [FileDamage(entry.table, path, why) for table in tables for path in table.checkpoints_from(entry.path)]

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        """Whether a checkpoint that is as it was written has what an entry said."""
        tables = (table for table in self._day_tables() if table.name == entry.table)
        return any(table.has_checkpoint_of(entry.path, noted) for table in tables)

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        """Put this content in place of a damaged file of a log, of which a copy is set aside; None takes it away."""
        for table in self._day_tables():
            if table.name == damage.table:
                table.put_log_file(damage.path, content)

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        """Set the files of the table of accounts aside, and write it anew."""
        self._accounts.remake(accounts)

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """Take damaged files out of the newest version, keep what can be read of them in it, and set copies aside.

        To be called by who writes alone, once what is lost was written anew. Raises StoreError.
        """
        tables = {table.name: table for table in self._day_tables()}
        for file in damage:
            if file.table in tables and file.day is not None:
                tables[TableName(file.table)].mend_file(file)

    @staticmethod
    def _day_of(days: Sequence[PackedDay]) -> date:
        """Raises ValueError."""
        kinds = {(one.collection.day, one.collection.is_running) for one in days}
        if len(kinds) != 1:
            raise ValueError(f"a commit is of one day, all of it running or none, not of {sorted(kinds)}")
        if len({one.collection.account_id for one in days}) != len(days):
            raise ValueError("a commit has one collection of an account")
        return days[0].collection.day

    def _pair(self, collection: Collected) -> _TablePair:
        return self._running if collection.is_running else self._days

    def _by_pair(self, collections: Iterable[Collected]) -> list[tuple[_TablePair, list[Collected]]]:
        running: list[Collected] = []
        others: list[Collected] = []
        for one in collections:
            (running if one.is_running else others).append(one)
        return [(pair, some) for pair, some in ((self._days, others), (self._running, running)) if some]

    @staticmethod
    def _ids_held(pair: _TablePair, day: date, accounts: Collection[str]) -> set[str]:
        """Collections whose rows accounts have on a day, as it is now."""
        table = pair.rows.held(day, accounts, ["account_id", "collection_id"])
        return {
            id_
            for account, rows in slices_by(table, "account_id")
            if account in accounts
            for id_, _ in slices_by(rows, "collection_id")
        }

    def _put_back(
        self, pair: _TablePair, day: date, assets: Mapping[str, pa.Table], counts: Mapping[str, list[int]]
    ) -> None:
        """Where another committer took our assets away before our rows were there: put them back."""
        held = self._ids_held(pair, day, list(assets))
        present = _ids(pair.assets.held(day, list(assets), ["collection_id"]))
        lost = {
            account: one
            for account, one in assets.items()
            if one.num_rows and (id_ := one["collection_id"][0].as_py()) in held and id_ not in present
        }
        if lost:
            # Nothing is taken out here: the other may be about to commit the rows of what it put there.
            said = {COLLECTIONS_KEY: dict(counts)}
            pair.assets.put(day, lost, said, keep=lambda table: _ids(table) - counts.keys())

    def _read(self, collections: Sequence[Collected], kind: "_Kind[_Item]") -> "_Looked[_Item]":
        """From the newest version, else from the collection's last, else from its first; what is in none is left out.

        The log forgets the first one while the collection still holds, where it holds for longer than history is kept.
        A collection that is damaged in one file may be whole in another.
        """
        found, damage = self._read_newest(collections, kind)
        for version_of in (_last_version, _first_version):
            missing: dict[tuple[bool, int], list[Collected]] = defaultdict(list)
            for one in collections:
                if one.id not in found and (version := version_of(one)) is not None:
                    missing[one.is_running, version].append(one)
            for (_, version), some in missing.items():
                table = kind.table_of(self._pair(some[0]))
                snapshot = table.at(version)
                if snapshot is not None:
                    older = _look_up(table, snapshot, some, kind)
                    found, damage = found | older.found, older.damage | damage
        return _Looked(found, damage)

    def _read_newest(self, collections: Sequence[Collected], kind: "_Kind[_Item]") -> "_Looked[_Item]":
        """From the version last looked at, and where something is not in it, the newest."""
        found: dict[str, tuple[_Item, ...]] = {}
        damage: dict[str, DayDamaged] = {}
        for pair, some in self._by_pair(collections):
            table = kind.table_of(pair)
            seen = table.seen()
            looked = _look_up(table, seen, some, kind)
            found |= looked.found
            missing = [one for one in some if one.id not in found]
            if missing and (newest := table.newest()) is not seen:
                looked = _look_up(table, newest, missing, kind)
                found |= looked.found
            damage |= looked.damage
        return _Looked(found, damage)

    def _older_assets(self, collection: Collected, damage: DayDamaged | None) -> tuple[Asset, ...]:
        """Of a collection that has none in the newest version: it may have none, or have been replaced."""
        if damage is None and collection.asset_sums is None and self._has_rows(collection):
            return ()
        for version in (_last_version(collection), _first_version(collection)):
            try:
                found = None if version is None else self._assets_beside(collection, version)
            except DayDamaged as error:
                damage = damage or error
                continue
            if found is not None:
                return found
        if damage is None and self._has_rows(collection):
            damage = _damaged(self._pair(collection).assets, collection, "they are missing")
        raise damage or self._gone(collection)

    def _has_rows(self, collection: Collected) -> bool:
        """Whether the newest version has rows of it. Raises DayDamaged."""
        return collection.id in self._ids_held(self._pair(collection), collection.day, [collection.account_id])

    def _gone(self, collection: Collected) -> CollectionGone:
        return CollectionGone(self.url, collection.id, was_replaced=collection.last_version is not None)

    def _assets_beside(self, collection: Collected, version: int) -> tuple[Asset, ...] | None:
        """The collection's assets as they went with its rows at a version of these; None where they are gone.

        Raises: DayDamaged.
        """
        pair = self._pair(collection)
        for commit in pair.rows.commits(version):
            assets_version = commit.said.get(ASSETS_VERSION_KEY)
            if assets_version is None:
                continue
            if collection.asset_sums is None and not commit.said.get(COLLECTIONS_KEY, {}).get(collection.id, [0, 1])[1]:
                return ()
            snapshot = pair.assets.at(assets_version)
            if snapshot is None:
                return None
            found, damage = _look_up(pair.assets, snapshot, [collection], _ASSETS)
            if damage:
                raise damage[collection.id]
            return found.get(collection.id, () if collection.asset_sums is None else None)
        return None

    def _committed(self, pair: _TablePair, collections: Sequence[Collected]) -> dict[str, int]:
        missing = {one.id: one for one in collections}
        versions: dict[str, int] = {}
        earliest = min(one.collected_at for one in collections) - _CLOCKS_DIFFER
        with suppress(LakeDamaged):  # of an entry that a checkpoint makes up for: what holds tells the rest
            for commit in pair.rows.commits():
                for id_ in commit.said.get(COLLECTIONS_KEY, {}):
                    if missing.pop(id_, None) is not None:
                        versions[id_] = commit.version
                if not missing or commit.at < earliest or commit.version == 0:
                    return versions
        return versions | self._held_now(pair, list(missing.values()))

    def _held_now(self, pair: _TablePair, collections: Sequence[Collected]) -> dict[str, int]:
        """Of those that the log no longer tells of: which are in the newest version, which is given for theirs."""
        version = pair.rows.newest().version
        found: dict[str, int] = {}
        for day, some in _by_day(collections).items():
            with suppress(DayDamaged):  # then they are collected again
                held = self._ids_held(pair, day, [one.account_id for one in some])
                found |= {one.id: version for one in some if one.id in held}
        return found

    def _drop_finished(self) -> None:
        """Take out of the tables of running days what accounts have in the table of days by now."""
        for table in (self._running.rows, self._running.assets):
            for day in table.newest().files:
                with suppress(DayDamaged):  # one damaged day must not stop maintenance
                    finished = _accounts(table, day) & _accounts(self._days.rows, day)
                    if finished:
                        table.put(day, dict.fromkeys(finished, table.schema.empty_table()), {})

    def _drop_assets_of_replaced(self) -> None:
        """Take out what `replace` left of running assets; of days that are over it is too little to look for."""
        for day in self._running.assets.newest().files:
            with suppress(DayDamaged):
                self._drop_assets_of_replaced_on(day)

    def _drop_assets_of_replaced_on(self, day: date) -> None:
        rows, assets = self._running.rows, self._running.assets
        accounts = _accounts(assets, day)

        def current_ids(_: pa.Table) -> set[str]:
            return self._ids_held(self._running, day, accounts)

        held = current_ids(rows.schema.empty_table())
        if held and not _ids(assets.held(day, columns=["collection_id"])) <= held:
            assets.put(day, dict.fromkeys(accounts, assets.schema.empty_table()), {}, keep=current_ids)


def _reconciled(account_id: str, currencies: Mapping[str, str], held: pa.Table) -> pa.Table | None:
    """A day with an account's rows as `DeltaLake.reconcile` wants them; None where they are so already."""
    mine = pc.equal(held["account_id"], account_id)
    table, ids = held, held["collection_id"]
    for id_ in pc.unique(ids.filter(mine)).to_pylist():
        of_id = pc.and_(mine, pc.equal(table["collection_id"], id_))
        if id_ not in currencies:
            kept = pc.invert(of_id)
            table, mine = table.filter(kept), mine.filter(kept)
        elif pc.any(pc.not_equal(table["currency"].filter(of_id), currencies[id_])).as_py():
            column = pc.if_else(of_id, currencies[id_], table["currency"])
            table = table.set_column(table.schema.get_field_index("currency"), table.schema.field("currency"), column)
    return None if table is held else table


def _streamed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    streamed: bytes = sink.getvalue().to_pybytes()
    return streamed


def _unpickled(*streams: bytes) -> _Tables:
    return _Tables(*(pa.ipc.open_stream(stream).read_all() for stream in streams))


def _tables_of(day: PackedDay) -> _Tables:
    assert isinstance(day.content, _Tables), "another lake packed it"  # noqa: S101
    return day.content


def _rows_table(pair: _TablePair) -> DayTable:
    return pair.rows


def _assets_table(pair: _TablePair) -> DayTable:
    return pair.assets


def _compare_rows(collection: Collected, rows: Sequence[Row]) -> str | None:
    return compare_rows(rows, collection.rows, collection.head.bill, collection.balance)


def _row_sums(rows: pa.Table) -> tuple[RowSums]:
    return (row_sums_of(rows),)


def _compare_row_sums(collection: Collected, sums: Sequence[RowSums]) -> str | None:
    return compare_row_sums(sums[0], collection.rows, collection.head.bill, collection.balance)


def _compare_assets(collection: Collected, assets: Sequence[Asset]) -> str | None:
    return compare_assets(assets, collection.asset_sums)


class _Kind(NamedTuple, Generic[_Item]):
    """What is read of a collection: from which table, how, and how it is held against what was recorded."""

    table_of: Callable[[_TablePair], DayTable]
    columns: list[str] | None
    convert: Callable[[pa.Table], tuple[_Item, ...]]
    compare: Callable[[Collected, Sequence[_Item]], str | None]


_ROWS = _Kind(_rows_table, FIGURES, rows_of, _compare_rows)
_ROW_SUMS = _Kind(_rows_table, ["collection_id", "kind", *COST_COLUMNS], _row_sums, _compare_row_sums)
_WHOLE_ROWS = _ROWS._replace(columns=None)
_ASSETS = _Kind(_assets_table, None, assets_of, _compare_assets)


class _Looked(NamedTuple, Generic[_Item]):
    """What was found by the collection's id, and what of it is damaged."""

    found: dict[str, tuple[_Item, ...]]
    damage: dict[str, DayDamaged]


def _last_version(collection: Collected) -> int | None:
    return collection.last_version


def _first_version(collection: Collected) -> int | None:
    return collection.version


def _accounts(table: DayTable, day: date) -> set[str]:
    return {account for account, _ in slices_by(table.held(day, columns=["account_id"]), "account_id")}


def _ids(table: pa.Table) -> set[str]:
    return {id_ for id_, _ in slices_by(table, "collection_id")}


def _by_day(collections: Iterable[Collected]) -> dict[date, list[Collected]]:
    by_day: dict[date, list[Collected]] = defaultdict(list)
    for one in collections:
        by_day[one.day].append(one)
    return by_day


def _look_up(
    table: DayTable, snapshot: Snapshot, collections: Sequence[Collected], kind: _Kind[_Item]
) -> _Looked[_Item]:
    """What a version has of collections; of a day whose file was replaced and removed since it has nothing."""
    by_day = _by_day(collections)

    def read(day: date) -> _Looked[_Item]:
        some = by_day[day]
        try:
            return _verified(
                table, table.read(snapshot, day, {one.account_id for one in some}, kind.columns), some, kind
            )
        except MissingFile as error:
            why = f"its file {error} is missing"
            is_gone = snapshot.version != table.newest().version
            return _Looked({}, {} if is_gone else {one.id: _damaged(table, one, why) for one in some})
        except DayDamaged as error:
            return _Looked({}, {one.id: _damaged(table, one, error.why) for one in some})

    with ThreadPoolExecutor(_READERS) as readers:
        answers: Iterable[_Looked[_Item]] = list((readers.map if len(by_day) > 1 else map)(read, by_day))
    return _Looked(
        {id_: items for answer in answers for id_, items in answer.found.items()},
        {id_: error for answer in answers for id_, error in answer.damage.items()},
    )


def _verified(table: DayTable, held: pa.Table, collections: Sequence[Collected], kind: _Kind[_Item]) -> _Looked[_Item]:
    """What rows of a day have of collections, as far as it is what these recorded."""
    by_id = {one.id: one for one in collections}
    parts: dict[str, list[pa.Table]] = defaultdict(list)
    found: dict[str, tuple[_Item, ...]] = {}
    damage: dict[str, DayDamaged] = {}
    try:
        for id_, rows in slices_by(held, "collection_id"):
            if id_ in by_id:
                parts[id_].append(rows)
    except UNREADABLE as error:
        return _Looked({}, {one.id: _damaged(table, one, shown(error)) for one in collections})
    for id_, tables in parts.items():
        try:
            items = kind.convert(pa.concat_tables(tables))
            difference = kind.compare(by_id[id_], items)
        except UNREADABLE as error:
            difference = shown(error)
        if difference is None:
            found[id_] = items
        else:
            damage[id_] = _damaged(table, by_id[id_], difference)
    return _Looked(found, damage)


def _damaged(table: DayTable, collection: Collected, why: str) -> DayDamaged:
    return table.damaged(collection.day, why, collection.account_id)
