"""A table of rows and the table of the assets that go with them: which collections they hold, and replacing those."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from kubetally.domain.collection import Collection as Collected
from kubetally.domain.damage import DayDamaged
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.log_folder import COLLECTIONS_KEY
from kubetally.store.lake.packing import DayTables
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.tables import DayTable

ASSETS_VERSION_KEY = "kubetally.assets_version"
"""In a commit of rows: the version of the table of assets that goes with it."""

RECORD_KEY = "kubetally.record"
"""In a commit of days: what the database notes of the collections, compressed, to be restored from it."""


class TablePair:
    """A table of rows and the table of their assets. Raises StoreError."""

    def __init__(self, place: Place, rows: TableName, *, assets: TableName, keep: timedelta) -> None:
        self.rows, self.assets, self.keep = DayTable(place, rows, keep), DayTable(place, assets, keep), keep

    def replace(
        self,
        day: date,
        tables: Sequence[tuple[Collected, DayTables]],
        record: Mapping[str, str],
        check_lease: Callable[[], None],
        *,
        replace_damaged: bool,
    ) -> int:
        """Put collections of one day, one of an account, in place of those that are stored; returns the rows' version.

        Assets go first. Those of the replaced collections stay until the next commit: until the rows are committed they
        are the current ones, and they remain so if this process is killed in between. `check_lease` is not called once
        the rows are committed: their assets must follow, whoever commits meanwhile.
        record: metadata of the commit of rows, beside what each has.
        """
        rows = {collection.account_id: its.rows for collection, its in tables}
        assets = {collection.account_id: its.assets for collection, its in tables}
        counts = {collection.id: [its.rows.num_rows, its.assets.num_rows] for collection, its in tables}
        commit_metadata = {COLLECTIONS_KEY: counts}

        def current_ids(stored_assets: pa.Table) -> set[str]:
            try:
                return self.current_ids(day, list(rows)) - counts.keys()
            except DayDamaged:
                if not replace_damaged:
                    raise
                return collection_ids(stored_assets) - counts.keys()

        put_assets = partial(self.assets.put, check_lease=check_lease, replace_damaged=replace_damaged)
        put_rows = partial(self.rows.put, check_lease=check_lease, replace_damaged=replace_damaged)
        assets_version = put_assets(day, assets, commit_metadata, keep=current_ids)
        version = put_rows(day, rows, {**commit_metadata, ASSETS_VERSION_KEY: assets_version, **record})
        if self.assets.newest().version != assets_version:
            self._restore_assets(day, assets, counts)
        return version

    def _restore_assets(self, day: date, assets: Mapping[str, pa.Table], counts: Mapping[str, list[int]]) -> None:
        """Commit our assets again where another writer removed them before our rows were committed."""
        current = self.current_ids(day, list(assets))
        present = collection_ids(self.assets.current_rows(day, list(assets), ["collection_id"]))
        lost = {
            account: table
            for account, table in assets.items()
            if table.num_rows and (id_ := table["collection_id"][0].as_py()) in current and id_ not in present
        }
        if lost:
            # Nothing is removed here: the other writer may be about to commit the rows of its assets.
            commit_metadata = {COLLECTIONS_KEY: dict(counts)}
            self.assets.put(day, lost, commit_metadata, keep=lambda table: collection_ids(table) - counts.keys())

    def current_ids(self, day: date, accounts: Collection[str]) -> set[str]:
        """The collections whose rows these accounts have on a day now."""
        table = self.rows.current_rows(day, accounts, ["account_id", "collection_id"])
        return {
            id_
            for account, rows in slices_by(table, "account_id")
            if account in accounts
            for id_, _ in slices_by(rows, "collection_id")
        }


class TablePairs(NamedTuple):
    """The tables of days that are over, and of running days."""

    days: TablePair
    running: TablePair

    def of(self, collection: Collected) -> TablePair:
        """The tables that a collection belongs in."""
        return self.running if collection.is_running else self.days

    def group(self, collections: Iterable[Collected]) -> list[tuple[TablePair, list[Collected]]]:
        """Collections by the tables they belong in; tables without any are left out."""
        running: list[Collected] = []
        over: list[Collected] = []
        for collection in collections:
            (running if collection.is_running else over).append(collection)
        return [(pair, its) for pair, its in ((self.days, over), (self.running, running)) if its]

    def tables(self) -> list[DayTable]:
        """All four."""
        return [table for pair in self for table in (pair.rows, pair.assets)]


def by_day(collections: Iterable[Collected]) -> dict[date, list[Collected]]:
    """Collections by their day."""
    by_day: dict[date, list[Collected]] = defaultdict(list)
    for collection in collections:
        by_day[collection.day].append(collection)
    return by_day


def collection_ids(table: pa.Table) -> set[str]:
    """The ids in the column `collection_id`."""
    return {id_ for id_, _ in slices_by(table, "collection_id")}
