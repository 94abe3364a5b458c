"""What is read of collections and coverage by more than one column: current ones, days, balances, progress."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Integer, Select, String, and_, case, func, or_, select, type_coerce

from kubetally.domain.account import StoredDays
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, CoveredDay
from kubetally.domain.component import Component
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.status import DayState
from kubetally.ledger.ports.coverage import Progress
from kubetally.store.booking_json import (
    balance_from_json,
)
from kubetally.store.meta.collection_rows import Phase
from kubetally.store.meta.instants import Dates, from_microseconds, to_microseconds
from kubetally.store.meta.tables import (
    ACCOUNTS,
    COLLECTIONS,
    COVERAGE,
)

_DAY_MICROSECONDS = 86_400_000_000
_COVERED_DAY = (
    *("account_id", "day", "collection_id", "state", "is_running", "audited", "source", "row_count", "hours_covered"),
    *("total", "currency", "collected_at", "attempts", "tried_at", "error_code", "error_message", "currency_origin"),
)
"""The columns that make a CoveredDay, in the order of its fields."""
_ORIGINS: Mapping[str | None, CurrencyOrigin | None] = {
    None: None,
    **{origin.value: origin for origin in CurrencyOrigin},
}
_STATES = {state.value: state for state in DayState}


def current_collections(account_id: str, first: date, *, end: date, as_of: datetime | None) -> Select[Any]:
    """The rows of the current collection for each day from `first` to before `end`, by day.

    as_of: of those confirmed by that instant the one of the latest version, without running days. One that the lake has
    lost since is included, as no earlier one was current then.
    """
    table = COLLECTIONS
    wanted = [table.c.account_id == account_id, table.c.day >= first, table.c.day < end]
    if as_of is None:
        wanted.append(table.c.phase == Phase.CONFIRMED)
    else:
        wanted += [table.c.is_running.is_(False), table.c.confirmed_at <= to_microseconds(as_of)]
        still = or_(table.c.superseded_at.is_(None), table.c.superseded_at > to_microseconds(as_of))
        wanted.append(or_(table.c.phase != Phase.MISSING, still))
        latest_first = (table.c.version.desc(), table.c.collected_at.desc(), table.c.id.desc())
        place = func.row_number().over(partition_by=table.c.day, order_by=latest_first).label("place")
        ranked = select(table.c.id, place).where(*wanted).subquery()
        wanted = [table.c.id.in_(select(ranked.c.id).where(ranked.c.place == 1))]
    return select(COLLECTIONS).where(*wanted).order_by(table.c.day)


def lost_collections() -> Select[Any]:
    """The rows of what was current until the lake lost it, of days without a current collection; the oldest first."""
    same_day = and_(COVERAGE.c.account_id == COLLECTIONS.c.account_id, COVERAGE.c.day == COLLECTIONS.c.day)
    question = select(COLLECTIONS).join(COVERAGE, same_day)
    question = question.where(COLLECTIONS.c.phase == Phase.MISSING, COVERAGE.c.collection_id.is_(None))
    return question.order_by(COLLECTIONS.c.day, COLLECTIONS.c.collected_at, COLLECTIONS.c.id)


def read_days(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str] | None, now: datetime
) -> list[CoveredDay]:
    """What is known of each (account, day), by account and day. What was collected after `now` is provisional."""
    plain = {"day": String, "is_running": Integer, "audited": Integer}  # as the driver has them
    columns = [
        type_coerce(COVERAGE.c[name], plain[name]) if name in plain else COVERAGE.c[name] for name in _COVERED_DAY
    ]
    question = select(*columns).where(COVERAGE.c.day >= first, COVERAGE.c.day < end)
    if account_ids is not None:
        question = question.where(COVERAGE.c.account_id.in_(list(account_ids)))
    return _covered_days(connection.execute(question).all(), now)


def read_stored_days(connection: Connection, account_ids: Iterable[str]) -> StoredDays:
    """How many days of these accounts are stored, together, and which is the first and which the last."""
    is_stored = (COVERAGE.c.account_id.in_(list(account_ids)), COVERAGE.c.collection_id.is_not(None))
    question = select(func.count(), func.min(COVERAGE.c.day), func.max(COVERAGE.c.day)).where(*is_stored)
    return StoredDays(*connection.execute(question).one())


def read_days_of_earlier_lakes(connection: Connection, lake_version: int) -> Mapping[str, StoredDays]:
    """The days that hold whose rows were written with an earlier version of the lake's columns, by account.

    Raises: StoreError.
    """
    table = COLLECTIONS
    question = (
        select(table.c.account_id, func.count(), func.min(table.c.day), func.max(table.c.day))
        .where(table.c.phase == Phase.CONFIRMED, table.c.lake_version < lake_version, table.c.is_running.is_(False))
        .group_by(table.c.account_id)
        .order_by(table.c.account_id)
    )
    rows = connection.execute(question).all()
    return {account_id: StoredDays(count, first, last) for account_id, count, first, last in rows}


def read_balances(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str]
) -> dict[str, Mapping[Component, ComponentBalance]]:
    """The balances of the collections that hold for these days, by the collection's id.

    Raises: CollectionNotUnderstood, StoreError.
    """
    question = select(COLLECTIONS.c.id, COLLECTIONS.c.balance).where(
        COLLECTIONS.c.account_id.in_(list(account_ids)),
        COLLECTIONS.c.day >= first,
        COLLECTIONS.c.day < end,
        COLLECTIONS.c.phase == Phase.CONFIRMED,
    )
    rows = connection.execute(question).all()
    return {id_: balance_from_json(balance, collection_id=id_) for id_, balance in rows}


def read_progress(connection: Connection, account_ids: Sequence[str], day: date) -> Progress:
    """How far collecting has come; of this day, for how many of the accounts. Raises: StoreError."""
    is_stored = COVERAGE.c.collection_id.is_not(None)
    is_failing = COVERAGE.c.collection_id.is_(None) & (COVERAGE.c.error_code != NO_DATA)
    is_whole = is_stored & (COVERAGE.c.day == day) & COVERAGE.c.is_running.is_(False)
    stored, failing, whole = (func.count(case((condition, 1))) for condition in (is_stored, is_failing, is_whole))
    last = func.max(COVERAGE.c.collected_at)
    question = select(stored, failing, whole, last).where(COVERAGE.c.account_id.in_(list(account_ids)))
    days_held, days_failing, accounts_held, at = connection.execute(question).one()
    return Progress(days_held, days_failing, accounts_held, None if at is None else from_microseconds(at))


def read_collecting_times(connection: Connection) -> list[tuple[datetime, datetime]]:
    """First and last collection of each UTC day with any, newest first. Raises: StoreError."""
    at = COLLECTIONS.c.collected_at
    day = (at // _DAY_MICROSECONDS).label("day")
    question = select(func.min(at), func.max(at)).group_by(day).order_by(func.min(at).desc())
    rows = connection.execute(question).all()
    return [(from_microseconds(first), from_microseconds(last)) for first, last in rows]


def read_damaged(connection: Connection) -> list[tuple[str, date]]:
    """The account's name and the day of each day that was found damaged, in order. Raises: StoreError."""
    question = (
        select(ACCOUNTS.c.name, COVERAGE.c.day)
        .join(ACCOUNTS, ACCOUNTS.c.id == COVERAGE.c.account_id)
        .where(COVERAGE.c.error_code.in_(DAMAGE_CODES), ACCOUNTS.c.deleted_at == 0)
        .order_by(ACCOUNTS.c.name, COVERAGE.c.day)
    )
    return [(name, day) for name, day in connection.execute(question)]


def _covered_days(rows: Iterable[Any], now: datetime) -> list[CoveredDay]:
    """The days, by account and day. Written for a year of a fleet: what repeats in most rows is converted once.

    What was collected after `now`, by a clock that was ahead, is provisional.
    """
    instant, latest, dates = cache(from_microseconds), to_microseconds(now), Dates()
    days = []
    for row in rows:
        account_id, day, id_, state, running, audited, source, count, hours, total, currency, at, *tried, origin = row
        attempts, tried_at, code, message = tried
        error = None if code is None else (code, message or "")
        tried_at = None if tried_at is None else instant(tried_at)
        if id_ is None:
            figures: tuple[Any, ...] = (None, None, False, False, None, 0, 0.0, 0, None, None)
        else:
            state_now = _STATES[state] if at <= latest else DayState.PROVISIONAL
            of_source = (source, count, hours, total, currency, instant(at))
            figures = (id_, state_now, running == 1, audited == 1, *of_source)
        known = (account_id, dates[day], *figures, attempts, tried_at, error, _ORIGINS[origin])
        days.append(CoveredDay._make(known))
    days.sort(key=itemgetter(0, 1))
    return days
