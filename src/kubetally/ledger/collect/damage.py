"""Finding and noting the stored days that can't be read as they were committed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog

from kubetally.domain.collection import DAMAGE_CODES, DAMAGED, SET_ASIDE, CollectedDay, Collection, CoveredDay
from kubetally.domain.errors import StoreError
from kubetally.ledger.stored import AssetsDamaged, Coverage, Lake

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


def check_days(coverage: Coverage, lake: Lake) -> CheckedDays:
    """Read rows and assets of every collection that holds, and compare them with what it recorded.

    In memory is one day of all accounts. Raises: StoreError, of a store that is away.
    """
    known = {(one.account_id, one.day): one for one in coverage.days(date.min, date.max) if one.is_held}
    damaged: list[DamagedDay] = []
    well_again: list[Collection] = []
    for day in sorted({day for _, day in known}):
        held = list(coverage.held_on(day).values())
        errors = dict(find_damaged(lake, held))
        for collection in held:
            before = known.get((collection.account_id, day))
            error = errors.get(collection.id)
            if error is not None:
                damaged.append(_damaged_day(collection, error, before))
            elif before is not None and before.is_damaged:
                well_again.append(collection)
    return CheckedDays(len(known), damaged, well_again, coverage.lost())


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
        rows = lake.rows([collection])[collection.id]
    except StoreError as error:
        if error.retryable:
            raise
        return None, error
    try:
        return CollectedDay(collection, rows, lake.assets([collection])[collection.id]), None
    except StoreError as error:
        if error.retryable:
            raise
        return CollectedDay(collection, rows, ()), error


def _damaged_day(collection: Collection, error: StoreError, before: CoveredDay | None) -> DamagedDay:
    if before is None or not before.is_damaged:
        return DamagedDay(collection, error)
    code = "" if before.last_error is None else before.last_error[0]
    if code != SET_ASIDE and before.has_costs != isinstance(error, AssetsDamaged):  # its rows too, or no longer
        return DamagedDay(collection, error)
    return DamagedDay(collection, error, before.tried_at, is_set_aside=code == SET_ASIDE)


def find_damaged(lake: Lake, collections: Sequence[Collection]) -> Iterator[tuple[str, StoreError]]:
    """The ids of those whose rows or assets can't be read as they were recorded, and why; halved until each is alone.

    Raises: StoreError, of a store that is away.
    """
    if not collections:
        return
    try:
        lake.rows(collections)
        lake.assets(collections)
    except StoreError as error:
        if error.retryable:
            raise
        if len(collections) == 1:
            yield collections[0].id, error
            return
        middle = len(collections) // 2
        yield from find_damaged(lake, collections[:middle])
        yield from find_damaged(lake, collections[middle:])
