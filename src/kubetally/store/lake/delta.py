"""The lake: Delta tables of booked rows and of the assets behind them, a partition a day."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.asset import Asset
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.row import Row
from kubetally.ledger.stored import CollectionGone, Maintained
from kubetally.store.lake.columns import allocation_table, asset_table, assets_of, rows_of
from kubetally.store.lake.files import Files
from kubetally.store.lake.schema import SCHEMAS, TableName
from kubetally.store.lake.tables import LakeTable, VersionGone

T = TypeVar("T")
COLLECTIONS, ASSETS_VERSION = "kubetally.collections", "kubetally.assets_version"
"""What the commit of rows says: the collections in it, and the version in which their assets are."""
_RUNNING_KEPT = timedelta(hours=1)
_COMMITS_LOOKED_AT = 1000
_ONE_DAY = timedelta(days=1)


class DeltaLake:
    """A lake at a URL: a folder, or a place in object storage with the credentials of `options` or the environment.

    keep: how long what was replaced can still be read.
    """

    def __init__(
        self, url: str, *, options: Mapping[str, str] | None = None, keep: timedelta = timedelta(days=400)
    ) -> None:
        self._files = Files(url, options)
        self._tables = {
            name: LakeTable(self._files, name, schema, options or {}, _RUNNING_KEPT if _is_running(name) else keep)
            for name, schema in SCHEMAS.items()
        }

    def __repr__(self) -> str:
        return f"DeltaLake({self.url!r})"

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._files.url

    def replace(self, days: Sequence[CollectedDay]) -> int:
        """See `Lake`. Raises LakeUnavailable, LakeFull, LakeNewer, NotALake, ValueBeyondLake."""
        ((day, is_running),) = {(one.collection.day, one.collection.is_running) for one in days}
        rows, assets = self._of(is_running)
        ids = json.dumps([one.collection.id for one in days])
        by_account = {one.collection.account_id: one for one in days}
        found = {account: asset_table(one) for account, one in by_account.items()}
        version = assets.replace(day, found, {COLLECTIONS: ids})
        found = {account: allocation_table(one) for account, one in by_account.items()}
        return rows.replace(day, found, {COLLECTIONS: ids, ASSETS_VERSION: str(version)})

    def rows(self, collections: Sequence[Collection]) -> dict[str, tuple[Row, ...]]:
        """See `Lake`. Raises CollectionGone, LakeUnavailable."""
        found = self._read(collections, lambda one: self._of(one.is_running)[0], rows_of)
        for one in collections:
            if len(found.get(one.id, ())) != one.rows:
                raise CollectionGone(self.url, one.id)
        return {one.id: found.get(one.id, ()) for one in collections}

    def assets(self, collections: Sequence[Collection]) -> dict[str, tuple[Asset, ...]]:
        """See `Lake`. Raises CollectionGone, LakeUnavailable."""
        found = self._read(collections, lambda one: self._of(one.is_running)[1], assets_of)
        return {one.id: found.get(one.id, ()) for one in collections}

    def versions_of(self, collections: Iterable[Collection]) -> Mapping[str, int]:
        """See `Lake`. Raises LakeUnavailable."""
        wanted, found = list(collections), {}
        for is_running in {one.is_running for one in wanted}:
            ids = {one.id for one in wanted if one.is_running is is_running}
            for commit in self._of(is_running)[0].commits(_COMMITS_LOOKED_AT):
                named = json.loads(commit.get(COLLECTIONS) or "[]")
                found |= {id_: int(commit["version"]) for id_ in ids.intersection(named)}
        return found

    def maintain(self, keep: timedelta) -> Maintained:
        """See `Lake`; a day that ran before yesterday has its place among the others by now."""
        yesterday = datetime.now(UTC).date() - _ONE_DAY
        compacted = vacuumed = 0
        checkpoint = -1
        for name, table in self._tables.items():
            if _is_running(name):
                table.drop_days(yesterday)
            of_table = table.maintain()
            compacted, vacuumed = compacted + of_table[0], vacuumed + of_table[1]
            if name is TableName.ALLOCATIONS:
                checkpoint = of_table[2]
        return Maintained(compacted, vacuumed, None if checkpoint < 0 else checkpoint)

    def _of(self, is_running: bool) -> tuple[LakeTable, LakeTable]:
        """The tables of rows and of assets."""
        if is_running:
            return self._tables[TableName.RUNNING], self._tables[TableName.RUNNING_ASSETS]
        return self._tables[TableName.ALLOCATIONS], self._tables[TableName.ASSETS]

    def _read(
        self,
        collections: Sequence[Collection],
        table_of: Callable[[Collection], LakeTable],
        made: Callable[[pa.Table], T],
    ) -> dict[str, T]:
        """What a table holds of each collection, at the newest version that any of them was written with."""
        by_table: dict[TableName, list[Collection]] = defaultdict(list)
        for one in collections:
            by_table[table_of(one).name].append(one)
        found: dict[str, T] = {}
        for name, its in by_table.items():
            table = self._tables[name]
            for part, version in self._at(its, name):
                try:
                    rows = table.read(version, _days(part), sorted({one.account_id for one in part}))
                except VersionGone as error:
                    raise CollectionGone(self.url, part[0].id) from error
                for one in part:
                    of_one = rows.filter(pc.equal(rows["collection_id"], one.id))
                    found[one.id] = made(of_one)
        return found

    def _at(self, collections: list[Collection], name: TableName) -> list[tuple[list[Collection], int]]:
        """Which version to read collections at: assets at that of their own commit, which their rows' names."""
        newest = max(one.version or 0 for one in collections)
        if name in {TableName.ALLOCATIONS, TableName.RUNNING}:
            return [(collections, newest)]
        table = self._tables[TableName.RUNNING if name is TableName.RUNNING_ASSETS else TableName.ALLOCATIONS]
        for commit in table.commits(_COMMITS_LOOKED_AT):
            if int(commit["version"]) == newest and commit.get(ASSETS_VERSION):
                return [(collections, int(commit[ASSETS_VERSION]))]
        return [(collections, self._tables[name].version())]


def _is_running(name: TableName) -> bool:
    return name in {TableName.RUNNING, TableName.RUNNING_ASSETS}


def _days(collections: Iterable[Collection]) -> list[date]:
    return sorted({one.day for one in collections})
