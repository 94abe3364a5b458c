"""Finding and noting the stored days that can't be read as they were committed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog

from kubetally.domain.collection import (
    DAMAGE_CODES,
    DAMAGED,
    SET_ASIDE,
    CollectedDay,
    Collection,
    CoveredDay,
    day_to_store,
)
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.damage import AssetsDamaged
from kubetally.ledger.ports.lake import Lake

CHECKED_AT_AGES, CHECKED_EVERY_DAYS = (1, 7, 13), 30
"""At how many days of age daily maintenance reads a stored day; an OpenCost often holds two weeks."""
_ROWS_AT_ONCE = 50_000
_log = structlog.get_logger(__name__)

DamagedCollection = tuple[Collection, StoreError]
"""A collection that holds, and why it can't be read as it was committed."""


@dataclass(frozen=True, slots=True)
class DamagedDay:
    """A stored day that can't be read. noticed_at: when it was last found so before; None where it is news."""

    collection: Collection
    error: StoreError
    noticed_at: datetime | None = None
    is_set_aside: bool = False

    @property
    def pair(self) -> DamagedCollection:
        """The collection, and why it can't be read."""
        return self.collection, self.error


@dataclass(frozen=True, slots=True)
class CheckedDays:
    """How many stored days were read; which are damaged, and which are well though they were noted as damaged.

    missing: what held until the lake lost its rows, of days of which nothing holds.
    """

    count: int = 0
    damaged: Sequence[DamagedDay] = ()
    well_again: Sequence[Collection] = ()
    missing: Sequence[Collection] = ()


def is_in_share(day: date, today: date) -> bool:
    """Whether a stored day is one of those that are read today: at some ages while sources hold it, then regularly."""
    age = (today - day).days
    return age in CHECKED_AT_AGES or (age > 0 and age % CHECKED_EVERY_DAYS == 0)


def check_share(
    coverage: Coverage, lake: Lake, now: datetime, should_continue: Callable[[], bool] = lambda: True
) -> CheckedDays:
    """Read today's share of the stored days, and note in coverage which are damaged, and which are no longer.

    It holds no lease: a day that is replaced meanwhile is left alone. Raises: StoreError, of a store that is away.
    """
    found = check_days(
        coverage, lake, is_chosen=lambda day: is_in_share(day, now.date()), should_continue=should_continue
    )
    note_damage(coverage, (day.pair for day in found.damaged if day.noticed_at is None), now)
    coverage.clear_damage(found.well_again)
    _log.info("stored_days_checked", days=found.count, damaged=len(found.damaged))
    return found


def check_days(
    coverage: Coverage,
    lake: Lake,
    *,
    is_chosen: Callable[[date], bool] = lambda _: True,
    should_continue: Callable[[], bool] = lambda: True,
) -> CheckedDays:
    """Read rows and assets of every collection that holds, and compare them with what it recorded.

    is_chosen: which days are read. should_continue: asked before each day. In memory are some accounts of one day.
    Raises: StoreError, of a store that is away.
    """
    known = {
        (one.account_id, one.day): one
        for one in coverage.days(date.min, date.max)
        if one.is_held and is_chosen(one.day)
    }
    count = 0
    damaged: list[DamagedDay] = []
    well_again: list[Collection] = []
    for day in sorted({day for _, day in known}):
        if not should_continue():
            break
        held = list(coverage.held_on(day).values())
        count += len(held)
        errors = dict(error for part in _in_parts(held) for error in find_damaged(lake, part))
        if errors:  # a collection that was replaced meanwhile may be gone
            holding = {one.id for one in coverage.held_on(day).values()}
            errors = {id_: error for id_, error in errors.items() if id_ in holding}
        for collection in held:
            before = known.get((collection.account_id, day))
            error = errors.get(collection.id)
            if error is not None:
                damaged.append(_damaged_day(collection, error, before))
            elif before is not None and before.is_damaged:
                well_again.append(collection)
    return CheckedDays(count, damaged, well_again, coverage.lost())


def _in_parts(collections: Sequence[Collection]) -> Iterator[list[Collection]]:
    """As many at a time as memory should hold the rows of."""
    part: list[Collection] = []
    for one in collections:
        if part and sum(other.rows for other in part) + one.rows > _ROWS_AT_ONCE:
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def note_damage(coverage: Coverage, damaged: Iterable[DamagedCollection], now: datetime) -> None:
    """Note stored days that can't be read, so that `coverage` shows them and they are collected again."""
    for collection, error in damaged:
        _log.warning("stored_day_damaged", account=collection.account_id, day=str(collection.day), error=str(error))
        code = error.code if error.code in DAMAGE_CODES else DAMAGED
        coverage.failed(collection.account_id, collection.day, now, code, str(error))


def read_collection(lake: Lake, collection: Collection) -> tuple[CollectedDay | None, StoreError | None]:
    """Rows and assets of a collection, verified; None without its rows, and an error where any of it can't be read.

    Raises: StoreError, of a store that is away.
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
    """The ids of those whose rows or assets can't be read as they were recorded, and why; halved until each is alone.

    by_sums: of rows only numbers and sums are compared, which is enough where all files were checked.
    Raises: StoreError, of a store that is away.
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
