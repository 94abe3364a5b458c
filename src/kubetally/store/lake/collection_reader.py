"""Rows and assets of collections, found in the version of the tables that has them, and verified."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa

from kubetally.domain.asset import Asset
from kubetally.domain.collection import Collection as Collected
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.domain.row import Row
from kubetally.domain.stored_sums import RowSums, compare_assets, compare_row_sums, compare_rows
from kubetally.store.lake.decode import FIGURES, assets_of, row_sums_of, rows_of
from kubetally.store.lake.faults import UNREADABLE, shown
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.log_folder import COLLECTIONS_KEY
from kubetally.store.lake.open_table import Snapshot
from kubetally.store.lake.schema import COST_COLUMNS
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.table_pair import ASSETS_VERSION_KEY, TablePair, TablePairs, by_day
from kubetally.store.lake.tables import DayTable

_READERS = 4
_Item = TypeVar("_Item")


def _compare_rows(collection: Collected, rows: Sequence[Row]) -> str | None:
    return compare_rows(rows, collection.rows, collection.head.bill, collection.balance)


def _row_sums(rows: pa.Table) -> tuple[RowSums]:
    return (row_sums_of(rows),)


def _compare_row_sums(collection: Collected, sums: Sequence[RowSums]) -> str | None:
    return compare_row_sums(sums[0], collection.rows, collection.head.bill, collection.balance)


def _compare_assets(collection: Collected, assets: Sequence[Asset]) -> str | None:
    return compare_assets(assets, collection.asset_sums)


class _Content(NamedTuple, Generic[_Item]):
    """What to read of a collection: from which table, how to convert it, and how to compare it with the record."""

    table_of: Callable[[TablePair], DayTable]
    columns: list[str] | None
    convert: Callable[[pa.Table], tuple[_Item, ...]]
    compare: Callable[[Collected, Sequence[_Item]], str | None]


_TABLE_OF_ROWS: Callable[[TablePair], DayTable] = attrgetter("rows")
_ROWS = _Content(_TABLE_OF_ROWS, FIGURES, rows_of, _compare_rows)
_ROW_SUMS = _Content(_TABLE_OF_ROWS, ["collection_id", "kind", *COST_COLUMNS], _row_sums, _compare_row_sums)
_DETAILED_ROWS = _ROWS._replace(columns=None)
_ASSETS = _Content(attrgetter("assets"), None, assets_of, _compare_assets)


class _ReadResult(NamedTuple, Generic[_Item]):
    """What could be read, and the damage, by the collection's id."""

    items: dict[str, tuple[_Item, ...]]
    damage: dict[str, DayDamaged]


class CollectionReader:
    """Reads collections from the tables of days and of running days. Raises StoreError."""

    def __init__(self, url: str, pairs: TablePairs) -> None:
        self._url, self._pairs = url, pairs

    def rows(self, collections: Sequence[Collected], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        """The rows of collections, each as it was written; with_details: with all stored columns.

        A collection's rows never change, so they are read where they most likely are: in the newest version, and
        replaced ones in the last version that had them, else in the one that they were committed with.
        Raises: CollectionGone; DayDamaged, where they are not those that were committed.
        """
        rows = self._read_all(collections, _DETAILED_ROWS if with_details else _ROWS)
        return {collection.id: rows.get(collection.id, ()) for collection in collections}

    def verify_rows(self, collections: Sequence[Collected]) -> None:
        """Compare rows with what was recorded, by sums of columns. Raises: as `rows`."""
        self._read_all(collections, _ROW_SUMS)

    def assets(self, collections: Sequence[Collected]) -> dict[str, tuple[Asset, ...]]:
        """The assets of collections by their id, verified as rows are. Raises CollectionGone, DayDamaged."""
        wanted = [
            collection for collection in collections if collection.asset_sums is None or collection.asset_sums.number
        ]
        assets, damage = self._read_newest(wanted, _ASSETS)
        for collection in wanted:
            if collection.id not in assets:
                assets[collection.id] = self._older_assets(collection, damage.get(collection.id))
        return {collection.id: assets.get(collection.id, ()) for collection in collections}

    def _read_all(
        self, collections: Sequence[Collected], content: "_Content[_Item]"
    ) -> Mapping[str, tuple[_Item, ...]]:
        """The rows of the collections that have any, by id. Raises: as `rows`."""
        wanted = [collection for collection in collections if collection.rows]
        items, damage = self._read(wanted, content)
        for collection in wanted:
            if collection.id not in items:
                raise damage.get(collection.id) or self._gone(collection)
        return items

    def _read(self, collections: Sequence[Collected], content: "_Content[_Item]") -> "_ReadResult[_Item]":
        """Read the newest version, else the collection's last, else its first; what is in none of them is left out.

        The first may have expired while the collection is still current. A collection that is damaged in one file may
        be whole in another.
        """
        items, damage = self._read_newest(collections, content)
        for name in ("last_version", "version"):
            missing: dict[tuple[bool, int], list[Collected]] = defaultdict(list)
            for collection in collections:
                if collection.id not in items and (version := getattr(collection, name)) is not None:
                    missing[collection.is_running, version].append(collection)
            for (_, version), its in missing.items():
                table = content.table_of(self._pairs.of(its[0]))
                snapshot = table.at(version)
                if snapshot is not None:
                    older = _read_version(table, snapshot, its, content)
                    items, damage = items | older.items, older.damage | damage
        return _ReadResult(items, damage)

    def _read_newest(self, collections: Sequence[Collected], content: "_Content[_Item]") -> "_ReadResult[_Item]":
        """Read the version last read, and for what is not in it, the newest."""
        items: dict[str, tuple[_Item, ...]] = {}
        damage: dict[str, DayDamaged] = {}
        for pair, its in self._pairs.group(collections):
            table = content.table_of(pair)
            seen = table.seen()
            result = _read_version(table, seen, its, content)
            items |= result.items
            missing = [collection for collection in its if collection.id not in items]
            if missing and (newest := table.newest()) is not seen:
                result = _read_version(table, newest, missing, content)
                items |= result.items
            damage |= result.damage
        return _ReadResult(items, damage)

    def _older_assets(self, collection: Collected, damage: DayDamaged | None) -> tuple[Asset, ...]:
        """The assets of a collection without any in the newest version: it may have none, or have been replaced."""
        if damage is None and collection.asset_sums is None and self._has_rows(collection):
            return ()
        for version in (collection.last_version, collection.version):
            try:
                assets = None if version is None else self._assets_beside(collection, version)
            except DayDamaged as error:
                damage = damage or error
                continue
            if assets is not None:
                return assets
        if damage is None and self._has_rows(collection):
            damage = _damaged(self._pairs.of(collection).assets, collection, "they are missing")
        raise damage or self._gone(collection)

    def _has_rows(self, collection: Collected) -> bool:
        """Whether the newest version has its rows. Raises DayDamaged."""
        return collection.id in self._pairs.of(collection).current_ids(collection.day, [collection.account_id])

    def _gone(self, collection: Collected) -> CollectionGone:
        return CollectionGone(self._url, collection_id=collection.id, was_replaced=collection.last_version is not None)

    def _assets_beside(self, collection: Collected, version: int) -> tuple[Asset, ...] | None:
        """The collection's assets as committed with its rows at a version of these; None where they have expired.

        Raises: DayDamaged.
        """
        pair = self._pairs.of(collection)
        for commit in pair.rows.log.commits(version):
            assets_version = commit.metadata.get(ASSETS_VERSION_KEY)
            if assets_version is None:
                continue
            if (
                collection.asset_sums is None
                and not commit.metadata.get(COLLECTIONS_KEY, {}).get(collection.id, [0, 1])[1]
            ):
                return ()
            snapshot = pair.assets.at(assets_version)
            if snapshot is None:
                return None
            assets, damage = _read_version(pair.assets, snapshot, [collection], _ASSETS)
            if damage:
                raise damage[collection.id]
            return assets.get(collection.id, () if collection.asset_sums is None else None)
        return None


def _read_version(
    table: DayTable, snapshot: Snapshot, collections: Sequence[Collected], content: _Content[_Item]
) -> _ReadResult[_Item]:
    """Read collections at a version; a day whose file was replaced and removed since has none."""
    days = by_day(collections)

    def read(day: date) -> _ReadResult[_Item]:
        its = days[day]
        try:
            return _verified(
                table,
                table.read(snapshot, day, {collection.account_id for collection in its}, content.columns),
                its,
                content,
            )
        except MissingFile as error:
            why = f"its file {error} is missing"
            is_gone = snapshot.version != table.newest().version
            return _ReadResult(
                {}, {} if is_gone else {collection.id: _damaged(table, collection, why) for collection in its}
            )
        except DayDamaged as error:
            return _ReadResult({}, {collection.id: _damaged(table, collection, error.why) for collection in its})

    with ThreadPoolExecutor(_READERS) as readers:
        answers: Iterable[_ReadResult[_Item]] = list((readers.map if len(days) > 1 else map)(read, days))
    return _ReadResult(
        {id_: items for answer in answers for id_, items in answer.items.items()},
        {id_: error for answer in answers for id_, error in answer.damage.items()},
    )


def _verified(
    table: DayTable, stored: pa.Table, collections: Sequence[Collected], content: _Content[_Item]
) -> _ReadResult[_Item]:
    """The rows of each collection among those of a day, where they match what it recorded."""
    by_id = {collection.id: collection for collection in collections}
    parts: dict[str, list[pa.Table]] = defaultdict(list)
    verified: dict[str, tuple[_Item, ...]] = {}
    damage: dict[str, DayDamaged] = {}
    try:
        for id_, rows in slices_by(stored, "collection_id"):
            if id_ in by_id:
                parts[id_].append(rows)
    except UNREADABLE as error:
        return _ReadResult({}, {collection.id: _damaged(table, collection, shown(error)) for collection in collections})
    for id_, tables in parts.items():
        try:
            items = content.convert(pa.concat_tables(tables))
            difference = content.compare(by_id[id_], items)
        except UNREADABLE as error:
            difference = shown(error)
        if difference is None:
            verified[id_] = items
        else:
            damage[id_] = _damaged(table, by_id[id_], difference)
    return _ReadResult(verified, damage)


def _damaged(table: DayTable, collection: Collected, why: str) -> DayDamaged:
    return table.damaged(collection.day, why, account_id=collection.account_id)
