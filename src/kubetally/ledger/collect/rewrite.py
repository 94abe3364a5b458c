"""Rewriting the file of a day, with all of its other accounts that can be read."""

from collections import defaultdict
from collections.abc import Collection as Ids
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from kubetally.domain.collection import SET_ASIDE, CollectedDay
from kubetally.domain.damage import DamagedCollection
from kubetally.ledger.collect.damage import read_collection
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake, PackedDay
from kubetally.ledger.writing.writer import LeasedLake


def by_day(days: Iterable[PackedDay]) -> list[list[PackedDay]]:
    """Days grouped by date; of two of the same account and date, only the later."""
    groups: dict[tuple[date, bool], dict[str, PackedDay]] = defaultdict(dict)
    for packed in days:
        groups[packed.collection.day, packed.collection.is_running][packed.collection.account_id] = packed
    return [list(group.values()) for group in groups.values()]


def rewrite_day(
    leased: LeasedLake, coverage: Coverage, days: Sequence[PackedDay]
) -> tuple[int, list[DamagedCollection]]:
    """Write these account-days, all of one date, and what other accounts have stored of it.

    Returns the version, and the collections of other accounts that can't be read. If only the assets of an account
    can't be read, its rows are kept.
    """
    first, mine = days[0].collection, {day.collection.account_id for day in days}
    readable, damaged = read_stored_day(leased.lake, coverage, first.day, is_running=first.is_running, without=mine)
    return leased.replace([*days, *leased.lake.pack(readable)], replace_damaged=True), damaged


def read_stored_day(
    lake: Lake, coverage: Coverage, day: date, *, is_running: bool, without: Ids[str] = ()
) -> tuple[list[CollectedDay], list[DamagedCollection]]:
    """The stored collections of a day, read and verified, and those that can't be read.

    without: accounts to leave out; days that were set aside are left out, too. Raises StoreError, if a store is away.
    """
    known = coverage.days(day, end=day + timedelta(days=1))
    aside = {
        known_day.account_id
        for known_day in known
        if known_day.last_error is not None and known_day.last_error[0] == SET_ASIDE
    }
    readable: list[CollectedDay] = []
    damaged: list[DamagedCollection] = []
    for collection in coverage.collections_on(day).values():
        if collection.account_id in {*aside, *without} or collection.is_running != is_running:
            continue
        stored_day, error = read_collection(lake, collection)
        if stored_day is not None:
            readable.append(stored_day)
        if error is not None:
            damaged.append((collection, error))
    return readable, damaged
