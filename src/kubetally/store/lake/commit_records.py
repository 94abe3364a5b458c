"""What the commits of the lake record of collections: which were committed, in which version, and what they were."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta

import pyarrow.compute as pc

from kubetally.domain.collection import Collection as Collected
from kubetally.domain.damage import DayDamaged
from kubetally.store.collection_text import collections_from_text
from kubetally.store.lake.decode import collection_of
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.log_folder import COLLECTIONS_KEY
from kubetally.store.lake.table_pair import (
    RECORD_KEY,
    TablePair,
    TablePairs,
    by_day,
)

_MAX_CLOCK_DIFFERENCE = timedelta(hours=1)


class CommitRecords:
    """The log of the tables of days and of running days, by collection. Raises StoreError."""

    def __init__(self, pairs: TablePairs) -> None:
        self._pairs, self._rows = pairs, pairs.days.rows

    def versions_of(self, collections: Iterable[Collected]) -> dict[str, int]:
        """The version of each of these that was committed, from the log; where its entries expired, from the rows."""
        versions: dict[str, int] = {}
        for pair, its in self._pairs.group(collections):
            versions |= _committed_versions(pair, its)
        return versions

    def ids_since(self, version: int) -> set[str]:
        """The collections in commits of the table of days after this version."""
        newer = itertools.takewhile(lambda commit: commit.version > version, self._rows.log.commits())
        return {id_ for commit in newer for id_ in commit.metadata.get(COLLECTIONS_KEY, {})}

    def recorded(self, ids: Collection[str]) -> dict[str, Collected]:
        """These collections as their commits describe them, with their versions, by id; others are left out."""
        missing, collections = set(ids), dict[str, Collected]()
        for commit in self._rows.log.commits() if missing else ():
            if missing & commit.metadata.get(COLLECTIONS_KEY, {}).keys() and RECORD_KEY in commit.metadata:
                for collection in collections_from_text(commit.metadata[RECORD_KEY]):
                    if collection.id in missing:
                        missing.discard(collection.id)
                        collections[collection.id] = replace(collection, version=commit.version)
            if not missing:
                break
        return collections

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collected]:
        """Collections as their rows describe them. keys: account and day of each, by its id."""
        if not keys:
            return []
        commits = self._rows.log.commits()
        versions = {id_: commit.version for commit in commits for id_ in commit.metadata.get(COLLECTIONS_KEY, ())}
        newest, collections = self._rows.newest().version, list[Collected]()
        for id_, (account_id, day) in keys.items():
            rows = self._rows.current_rows(day, [account_id])
            its = rows.filter(pc.equal(rows["collection_id"], id_))
            if its.num_rows:
                collections.append(replace(collection_of(its), version=versions.get(id_, newest)))
        return collections


def _committed_versions(pair: TablePair, collections: Sequence[Collected]) -> dict[str, int]:
    missing = {collection.id: collection for collection in collections}
    versions: dict[str, int] = {}
    earliest = min(collection.collected_at for collection in collections) - _MAX_CLOCK_DIFFERENCE
    with suppress(LakeDamaged):  # of an entry that a checkpoint replaces: the current rows show the rest
        for commit in pair.rows.log.commits():
            for id_ in commit.metadata.get(COLLECTIONS_KEY, {}):
                if missing.pop(id_, None) is not None:
                    versions[id_] = commit.version
            if not missing or commit.at < earliest or commit.version == 0:
                return versions
    return versions | _current_versions(pair, list(missing.values()))


def _current_versions(pair: TablePair, collections: Sequence[Collected]) -> dict[str, int]:
    """The newest version for each of these whose rows are in it, as the log has no commit of them."""
    version = pair.rows.newest().version
    versions: dict[str, int] = {}
    for day, its in by_day(collections).items():
        with suppress(DayDamaged):  # then they are collected again
            current = pair.current_ids(day, [collection.account_id for collection in its])
            versions |= {collection.id: version for collection in its if collection.id in current}
    return versions
