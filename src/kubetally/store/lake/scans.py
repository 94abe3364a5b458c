"""Which files an answer reads: those that hold the rows of given collections, at one version of each table."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from kubetally.domain.damage import CollectionGone
from kubetally.ledger.ports.lake import AssetScans, Scan, StoredRows
from kubetally.store.lake.files import DataFile
from kubetally.store.lake.open_table import Snapshot
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.table_pair import TablePairs
from kubetally.store.lake.tables import DayTable

_READERS = 4
_MAX_FILES = 20_000
_Wanted = TypeVar("_Wanted")
_Of = TypeVar("_Of")


class _Content(NamedTuple):
    """What is known of a file, which never changes: the collections with rows in it by account, and its version."""

    ids: Mapping[str, frozenset[str]]
    is_version_1: bool


class _File(NamedTuple):
    """A file to read. accounts, ids: as of a `Scan`."""

    path: str
    accounts: frozenset[str] | None
    ids: frozenset[str] | None
    is_version_1: bool


class ScanPlanner:
    """Finds the files of collections. Threads may share it. Raises StoreError."""

    def __init__(self, url: str, pairs: TablePairs) -> None:
        self._url, self._pairs = url, pairs
        self._contents: dict[str, _Content] = {}
        self._lock = Lock()

    def plan(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> list[Scan]:
        """The files that have these rows, each row in exactly one of them. accounts: all whose rows are in question.

        A collection is read where it is in the newest version of its table, else in the last that had it.
        Raises: CollectionGone, DayDamaged.
        """
        found, known = list[_File](), len(self._contents)
        for pair, is_running in ((self._pairs.days, False), (self._pairs.running, True)):
            days = defaultdict[date, list[StoredRows]](list)
            for rows in stored:
                if rows.is_running is is_running:
                    days[rows.day].append(rows)
            if not days:
                continue
            snapshot = pair.rows.newest()
            for files in self._of_days(pair.rows, snapshot, days, partial(self._of_day, pair.rows, snapshot, accounts)):
                found += files
        if len(self._contents) != known:  # files were read as a whole, which takes memory that nothing needs any more
            pa.default_memory_pool().release_unused()
        return _scans_of(found)

    def plan_assets(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> AssetScans:
        """The files that have the assets of these collections, and the collections without any. Raises DayDamaged."""
        found, without = list[_File](), set[str]()
        for pair, is_running in ((self._pairs.days, False), (self._pairs.running, True)):
            days = defaultdict[date, dict[str, StoredRows]](dict)
            for rows in stored:
                if rows.is_running is is_running:
                    days[rows.day][rows.id] = rows
            if not days:
                continue
            snapshot = pair.assets.newest()
            of_day = partial(self._assets_of_day, pair.assets, snapshot, accounts)
            for files, left in self._of_days(pair.assets, snapshot, days, of_day):
                found += files
                without |= left
        return AssetScans(_scans_of(found), frozenset(without))

    def _of_days(
        self, table: DayTable, snapshot: Snapshot, days: Mapping[date, _Wanted], of_day: Callable[[date, _Wanted], _Of]
    ) -> Iterable[_Of]:
        """What `of_day` makes of each day; several at once, if some of their files have to be read first."""
        if all(_key(table, file) in self._contents for day in days for file in snapshot.of(day)):
            return map(of_day, days, days.values())
        with ThreadPoolExecutor(_READERS) as readers:
            return [*readers.map(of_day, days, days.values())]

    def _assets_of_day(
        self, table: DayTable, newest: Snapshot, accounts: frozenset[str], day: date, wanted: dict[str, StoredRows]
    ) -> tuple[list[_File], set[str]]:
        files = list(self._in_snapshot(table, newest, accounts, day, wanted))
        return files, set(wanted)

    def _of_day(
        self,
        table: DayTable,
        newest: Snapshot,
        accounts: frozenset[str],
        day: date,
        collections: Sequence[StoredRows],
    ) -> list[_File]:
        wanted = {collection.id: collection for collection in collections}
        files = list(self._in_snapshot(table, newest, accounts, day, wanted))
        for name in ("last_version", "version"):
            by_version = defaultdict[int, dict[str, StoredRows]](dict)
            for id_, collection in wanted.items():
                if (version := getattr(collection, name)) is not None:
                    by_version[version][id_] = collection
            for version, its in by_version.items():
                if (snapshot := table.at(version)) is not None:
                    left = dict(its)
                    files += self._in_snapshot(table, snapshot, accounts, day, left)
                    for id_ in its.keys() - left.keys():
                        del wanted[id_]
        for collection in wanted.values():
            raise CollectionGone(
                self._url, collection_id=collection.id, was_replaced=collection.last_version is not None
            )
        return files

    def _in_snapshot(
        self, table: DayTable, snapshot: Snapshot, accounts: frozenset[str], day: date, wanted: dict[str, StoredRows]
    ) -> Iterator[_File]:
        """The files of a day that have rows of `wanted`, which loses those that are found."""
        for file in snapshot.of(day):
            try:
                content = self._content(table, day, file)
            except MissingFile:
                continue
            scope = accounts & content.ids.keys()
            present = frozenset[str]().union(*(content.ids[account_id] for account_id in scope))
            ids = present.intersection(wanted)
            for id_ in ids:
                del wanted[id_]
            if ids:
                yield _File(
                    f"{table.url}/{file.path}",
                    accounts if len(scope) < len(content.ids) else None,
                    ids if ids != present else None,
                    content.is_version_1,
                )

    def _content(self, table: DayTable, day: date, file: DataFile) -> _Content:
        """What a file holds. Raises MissingFile, DayDamaged."""
        key = _key(table, file)
        with self._lock:
            if key in self._contents:
                return self._contents[key]
        content = _Content(*table.content_of(day, file))
        with self._lock:
            if len(self._contents) >= _MAX_FILES:
                self._contents.clear()
            self._contents[key] = content
        return content


def _key(table: DayTable, file: DataFile) -> str:
    return f"{table.name}/{file.path}"


def _scans_of(files: Iterable[_File]) -> list[Scan]:
    """Files with the same rows that count as one scan each."""
    scans = defaultdict[Any, list[str]](list)
    for path, *which in files:
        scans[tuple(which)].append(path)
    return [Scan(tuple(paths), *which) for which, paths in scans.items()]
