"""Examining stored days for data that their source had lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from kubetally import logs
from kubetally.domain.asset import Asset
from kubetally.domain.collection import Collection
from kubetally.domain.completeness import Completeness
from kubetally.domain.errors import StoreError
from kubetally.domain.evidence.days_around import DayFacts, compare_days, new_issues
from kubetally.domain.evidence.days_around import facts_of as facts_to_compare
from kubetally.domain.evidence.stored import EXAMINED, EXAMINED_ALONE, Examined, StoredFacts, examine_stored, facts_of
from kubetally.domain.issues import Issue
from kubetally.ledger.collect.damage import split_by_rows
from kubetally.ledger.collect.schedule import ONE_DAY
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake

_MAX_ROWS = 50_000  # of the lake, in memory at once
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DayToExamine:
    """A stored collection with its facts; None if its rows can't be read."""

    collection: Collection
    facts: StoredFacts | None
    completeness: Completeness | None


@dataclass(frozen=True, slots=True)
class Examination:
    """How many stored days were examined, and how many of them lack data."""

    examined: int = 0
    marked: int = 0


def examine_stored_days(
    coverage: Coverage, lake: Lake, should_continue: Callable[[], bool] = lambda: True, max_rows: int = _MAX_ROWS
) -> Examination:
    """Examine the days that an earlier version stored, the newest first.

    A day that lacks data becomes provisional, with its hours and issues. Each day is noted when it is done, so that the
    next call continues there. max_rows: kept in memory, or those of one account's day; and the facts of three days.
    Raises: StoreError, if a store is away.
    """
    count = marked = 0
    known: dict[date, Mapping[str, DayToExamine]] = {}
    for day in reversed(coverage.days_to_examine(EXAMINED_ALONE)):
        if not should_continue():
            break
        around = (day - ONE_DAY, day, day + ONE_DAY)
        known = {d: known[d] if d in known else _read_day(coverage, lake, d, max_rows) for d in around}
        before, mine, after = (known[d] for d in around)
        examined = []
        for id_, stored in mine.items():
            if stored.collection.examined_by >= EXAMINED_ALONE:
                continue
            examination = _examine(stored, before.get(id_), after.get(id_))
            examined.append(_with_examination(stored, examination))
            if examination.issues:
                marked += 1
                _log.warning("stored_day_lacks_data", account=id_, day=str(day), why=examination.issues[0].message)
        coverage.note_examined(examined)
        count += len(examined)
    if count:
        _log.info("stored_days_examined", days=count, lacking=marked)
    return Examination(count, marked)


def compare_collected_days(
    coverage: Coverage, lake: Lake, should_continue: Callable[[], bool] = lambda: True
) -> Examination:
    """Compare the days collected since the last call with the days around them, the newest first (B10 c, d).

    A day that lacks data becomes provisional. Only heads and assets are read, which is fast.
    Raises: StoreError, if a store is away.
    """
    count = marked = 0
    known: dict[date, Mapping[str, ComparedDay]] = {}
    new_days = coverage.days_to_examine(EXAMINED)
    # A day is compared again once the day before or after it is new.
    for day in sorted({new + step * ONE_DAY for new in new_days for step in (-1, 0, 1)}, reverse=True):
        if not should_continue():
            break
        around = (day - ONE_DAY, day, day + ONE_DAY)
        known = {d: known[d] if d in known else _compared_days(coverage, lake, d) for d in around}
        before, mine, after = (known[d] for d in around)
        changed = []
        for id_, stored in mine.items():
            neighbors = [days.get(id_) for days in (before, after)]
            if not any(compared is not None and compared.is_new for compared in (stored, *neighbors)):
                continue
            issues = _new_issues(stored, *neighbors)
            if not (stored.is_new or issues) or not stored.collection.examined_by:
                continue
            head = replace(stored.collection.head, issues=(*stored.collection.head.issues, *issues))
            changed.append(replace(stored.collection, head=head, examined_by=EXAMINED))
            count += stored.is_new
            if issues:
                marked += 1
                _log.warning("collected_day_lacks_data", account=id_, day=str(day), why=issues[0].message)
        coverage.note_examined(changed)
    return Examination(count, marked)


def _new_issues(stored: "ComparedDay", before: "ComparedDay | None", after: "ComparedDay | None") -> list[Issue]:
    """What a day lacks compared with those around it, if its issues do not say so yet."""
    if stored.facts is None:
        return []
    issues = compare_days(before=before and before.facts, day=stored.facts, after=after and after.facts)
    return new_issues(issues, stored.collection.head.issues)


class ComparedDay(NamedTuple):
    """A stored collection with its facts; None if its assets can't be read."""

    collection: Collection
    facts: DayFacts | None

    @property
    def is_new(self) -> bool:
        """Whether it was collected since the last comparison, by this version."""
        return self.collection.examined_by == EXAMINED_ALONE


def _compared_days(coverage: Coverage, lake: Lake, day: date) -> dict[str, ComparedDay]:
    """The days of all accounts, without running ones, by account."""
    stored = {id_: collection for id_, collection in coverage.collections_on(day).items() if not collection.is_running}
    try:
        assets = lake.assets([*stored.values()]) if stored else {}
    except StoreError as error:
        if error.retryable:
            raise
        _log.warning("stored_assets_not_read", day=str(day), error=str(error))
        assets = {}
    return {
        id_: ComparedDay(collection, _facts_to_compare(collection, assets.get(collection.id)))
        for id_, collection in stored.items()
    }


def _facts_to_compare(collection: Collection, assets: Sequence[Asset] | None) -> DayFacts | None:
    if collection.completeness is None or assets is None:
        return None
    return facts_to_compare(collection.head.window, collection.head.source, collection.completeness, assets)


def _examine(stored: DayToExamine, before: DayToExamine | None, after: DayToExamine | None) -> Examined:
    if stored.facts is None:
        return Examined()
    return examine_stored(
        stored.facts, before=None if before is None else before.facts, after=None if after is None else after.facts
    )


def _with_examination(stored: DayToExamine, examination: Examined) -> Collection:
    """The collection with the result, and with its completeness, which an earlier version did not measure."""
    collection = replace(stored.collection, examined_by=EXAMINED, head=examination.applied_to(stored.collection.head))
    completeness = collection.completeness or stored.completeness
    if completeness is not None:
        completeness = replace(completeness, hours_covered=collection.hours_covered)
    return replace(collection, completeness=completeness)


def _read_day(coverage: Coverage, lake: Lake, day: date, max_rows: int) -> dict[str, DayToExamine]:
    """The days of all accounts, without running ones, by account."""
    stored = [collection for collection in coverage.collections_on(day).values() if not collection.is_running]
    return {
        read.collection.account_id: read
        for batch in split_by_rows(stored, max_rows)
        for read in _read_batch(lake, batch)
    }


def _read_batch(lake: Lake, collections: list[Collection]) -> list[DayToExamine]:
    """The collections with their facts. If reading fails, each half is read by itself."""
    try:
        rows, assets = lake.rows(collections), lake.assets(collections)
    except StoreError as error:
        if error.retryable:
            raise
        if len(collections) == 1:
            facts = {"account": collections[0].account_id, "day": str(collections[0].day), "error": str(error)}
            _log.warning("stored_day_not_read", **facts)
            return [DayToExamine(collections[0], None, None)]
        middle = len(collections) // 2
        return [*_read_batch(lake, collections[:middle]), *_read_batch(lake, collections[middle:])]
    days = []
    for collection in collections:
        its_rows, its_assets = rows[collection.id], assets[collection.id]
        completeness = collection.measured(its_rows, its_assets)
        facts_of_day = facts_of(collection.head, its_rows, its_assets, completeness)
        days.append(DayToExamine(collection, facts_of_day, completeness))
    return days
