"""Days as they were stored at an instant, in SQL: reads many days at once, with heads of replaced collections only."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select

from kubetally.domain.collection import CoveredDay
from kubetally.domain.collection_facts import facts_of
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.status import DayState
from kubetally.garbage import gc_paused
from kubetally.ledger.ports.coverage import PastDay
from kubetally.store.booking_json import head_from_json
from kubetally.store.meta.collection_rows import Phase
from kubetally.store.meta.instants import from_microseconds, to_microseconds
from kubetally.store.meta.tables import COLLECTION_FACTS, COLLECTIONS

_HEADS_AT_ONCE = 500


@gc_paused()
def read_past_days(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str], as_of: datetime
) -> list[PastDay]:
    """What was stored of each (account, day) at an instant, by account and day. Raises CollectionNotUnderstood."""
    ids = list(account_ids)
    rows = connection.execute(_current_at(first, end, ids, as_of)).all()
    facts = _facts(connection, first, end, ids)
    facts |= _facts_of_heads(connection, [row.id for row in rows if row.phase != Phase.CONFIRMED])
    return sorted(
        (PastDay(_covered(row), row.version, row.last_version, frozenset(facts.get(row.id, ()))) for row in rows),
        key=lambda past: past.day[:2],
    )


def _current_at(first: date, end: date, account_ids: Sequence[str], as_of: datetime) -> Any:
    """As `current_collections`, of several accounts, and without what is large."""
    table = COLLECTIONS
    still = or_(table.c.superseded_at.is_(None), table.c.superseded_at > to_microseconds(as_of))
    latest_first = (table.c.version.desc(), table.c.collected_at.desc(), table.c.id.desc())
    place = func.row_number().over(partition_by=(table.c.account_id, table.c.day), order_by=latest_first)
    columns = [column for column in table.c if column.name not in {"head", "balance"}]
    ranked = select(*columns, place.label("place")).where(
        table.c.account_id.in_(account_ids),
        table.c.day >= first,
        table.c.day < end,
        table.c.is_running.is_(False),
        table.c.confirmed_at <= to_microseconds(as_of),
        or_(table.c.phase != Phase.MISSING, still),
    )
    all_ranked = ranked.subquery()
    return select(all_ranked).where(all_ranked.c.place == 1)


def _facts(connection: Connection, first: date, end: date, account_ids: Sequence[str]) -> dict[str, set[str]]:
    """The facts of the collections that hold now, by their ids."""
    table, facts = COLLECTION_FACTS, defaultdict[str, set[str]](set)
    of_window = (table.c.account_id.in_(account_ids), table.c.day >= first, table.c.day < end)
    for id_, what in connection.execute(select(table.c.collection_id, table.c.what).where(*of_window)):
        facts[id_].add(what)
    return dict(facts)


def _facts_of_heads(connection: Connection, collection_ids: Sequence[str]) -> dict[str, set[str]]:
    """The facts of collections that do not hold now."""
    facts = dict[str, set[str]]()
    for begin in range(0, len(collection_ids), _HEADS_AT_ONCE):
        some = COLLECTIONS.c.id.in_(collection_ids[begin : begin + _HEADS_AT_ONCE])
        for id_, head in connection.execute(select(COLLECTIONS.c.id, COLLECTIONS.c.head).where(some)):
            booking = head_from_json(head, collection_id=id_).booking
            facts[id_] = {fact.what for fact in facts_of(booking)}
    return facts


def _covered(row: Any) -> CoveredDay:
    return CoveredDay(
        row.account_id,
        row.day,
        row.id,
        DayState(row.state),
        assets_complete=row.audited,
        source=row.source,
        rows=row.row_count,
        hours_covered=row.hours_covered,
        total=row.total,
        currency=row.currency,
        collected_at=from_microseconds(row.collected_at),
        currency_origin=None if row.currency_origin is None else CurrencyOrigin(row.currency_origin),
    )
