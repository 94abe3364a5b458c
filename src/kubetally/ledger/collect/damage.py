"""Finding and noting damaged days: stored days that can't be read as they were committed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime

from kubetally import logs
from kubetally.domain.collection import (
    DAMAGE_CODES,
    DAMAGED,
    SET_ASIDE,
    CollectedDay,
    Collection,
    CoveredDay,
    day_to_store,
)
from kubetally.domain.damage import AssetsDamaged, CheckedDays, DamagedCollection, DamagedDay
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake

CHECKED_AT_AGES, CHECKED_EVERY_DAYS = (1, 7, 13), 30
"""Ages in days at which daily maintenance reads a stored day; an OpenCost often holds two weeks."""
_MAX_ROWS = 50_000
_log = logs.get_logger(__name__)


def is_in_share(day: date, *, today: date) -> bool:
    """Whether a stored day is read today: at some ages while sources still hold it, then regularly."""
    age = (today - day).days
    return age in CHECKED_AT_AGES or (age > 0 and age % CHECKED_EVERY_DAYS == 0)


def check_share(
    coverage: Coverage, lake: Lake, now: datetime, should_continue: Callable[[], bool] = lambda: True
) -> CheckedDays:
    """Read today's share of the stored days, and note which are damaged and which no longer are.

    It needs no lease: a day that is replaced meanwhile is not noted. Raises StoreError, if a store is away.
    """
    checked = check_days(
        coverage, lake, is_chosen=lambda day: is_in_share(day, today=now.date()), should_continue=should_continue
    )
    note_damage(coverage, (day.pair for day in checked.damaged if day.noticed_at is None), now)
    coverage.clear_damage(checked.well_again)
    _log.info("stored_days_checked", days=checked.count, damaged=len(checked.damaged))
    return checked


def check_days(
    coverage: Coverage,
    lake: Lake,
    *,
    is_chosen: Callable[[date], bool] = lambda _: True,
    should_continue: Callable[[], bool] = lambda: True,
) -> CheckedDays:
    """Read rows and assets of every stored collection, and compare them with what was recorded at its commit.

    is_chosen: which days are read. should_continue: called before each day. Some accounts of one day are in memory.
    Raises: StoreError, if a store is away.
    """
    known = {
        (known_day.account_id, known_day.day): known_day
        for known_day in coverage.days(date.min, end=date.max)
        if known_day.is_stored and is_chosen(known_day.day)
    }
    count = 0
    damaged: list[DamagedDay] = []
    well_again: list[Collection] = []
    for day in sorted({day for _, day in known}):
        if not should_continue():
            break
        stored = list(coverage.collections_on(day).values())
        count += len(stored)
        errors = dict(error for part in split_by_rows(stored, _MAX_ROWS) for error in find_damaged(lake, part))
        if errors:  # a collection that was replaced meanwhile may be gone
            current_ids = {collection.id for collection in coverage.collections_on(day).values()}
            errors = {id_: error for id_, error in errors.items() if id_ in current_ids}
        for collection in stored:
            before = known.get((collection.account_id, day))
            error = errors.get(collection.id)
            if error is not None:
                damaged.append(_damaged_day(collection, error, before))
            elif before is not None and before.is_damaged:
                well_again.append(collection)
    return CheckedDays(count, damaged, well_again, coverage.lost())


def split_by_rows(collections: Iterable[Collection], max_rows: int) -> Iterator[list[Collection]]:
    """Parts of at most so many rows, or of one collection."""
    part: list[Collection] = []
    rows = 0
    for collection in collections:
        if part and rows + collection.rows > max_rows:
            yield part
            part, rows = [], 0
        part.append(collection)
        rows += collection.rows
    if part:
        yield part


def note_damage(coverage: Coverage, damaged: Iterable[DamagedCollection], now: datetime) -> None:
    """Note days as damaged, so that `coverage` shows them and they are collected again."""
    for collection, error in damaged:
        _log.warning("stored_day_damaged", account=collection.account_id, day=str(collection.day), error=str(error))
        code = error.code if error.code in DAMAGE_CODES else DAMAGED
        coverage.failed(collection.account_id, collection.day, now, code=code, message=str(error))


def read_collection(lake: Lake, collection: Collection) -> tuple[CollectedDay | None, StoreError | None]:
    """Rows and assets of a collection, verified, and an error if any can't be read; None if its rows can't.

    Raises: StoreError, if a store is away.
    """
    try:
        rows = lake.rows([collection], with_details=True)[collection.id]
    except StoreError as error:
        if error.retryable:
            raise
        return None, error
    try:
        return day_to_store(collection, rows, lake.assets([collection])[collection.id]), None
    except StoreError as error:
        if error.retryable:
            raise
        return day_to_store(collection, rows, ()), error


def _damaged_day(collection: Collection, error: StoreError, before: CoveredDay | None) -> DamagedDay:
    if before is None or not before.is_damaged:
        return DamagedDay(collection, error)
    code = "" if before.last_error is None else before.last_error[0]
    if code != SET_ASIDE and before.has_costs != isinstance(error, AssetsDamaged):  # its rows too, or no longer
        return DamagedDay(collection, error)
    return DamagedDay(collection, error, before.tried_at, is_set_aside=code == SET_ASIDE)


def find_damaged(
    lake: Lake, collections: Sequence[Collection], *, by_sums: bool = False
) -> Iterator[tuple[str, StoreError]]:
    """The ids of damaged collections, and how they are damaged. Collections are halved until each is read alone.

    by_sums: compares only number and sums of rows, which is enough if all files were checked.
    Raises: StoreError, if a store is away.
    """
    if not collections:
        return
    try:
        (lake.verify_rows if by_sums else lake.rows)(collections)
        lake.assets(collections)
    except StoreError as error:
        if error.retryable:
            raise
        if len(collections) == 1:
            yield collections[0].id, error
            return
        middle = len(collections) // 2
        yield from find_damaged(lake, collections[:middle], by_sums=by_sums)
        yield from find_damaged(lake, collections[middle:], by_sums=by_sums)
