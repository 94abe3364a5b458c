"""Facts and status of stored days, in SQL: reads many days at once, without their heads."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    case,
    delete,
    distinct,
    func,
    insert,
    select,
    type_coerce,
)
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from kubetally.domain.collection import DayStatus
from kubetally.domain.collection_facts import COMPONENTS, Fact, FactSum, facts_of
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.status import DayState
from kubetally.garbage import gc_paused
from kubetally.store.booking_json import CollectionNotUnderstood, head_from_json, issue_from_json, issue_to_json
from kubetally.store.meta.instants import Dates, to_microseconds
from kubetally.store.meta.tables import COLLECTION_FACTS, COLLECTIONS, COVERAGE

_STATES: Mapping[str | None, DayState | None] = {None: None, **{state.value: state for state in DayState}}
_DAY = attrgetter("day")
_DAYS_AT_ONCE = 500
_DAYS_TO_SCAN = 180


def write_facts(connection: Connection, collection_ids: Sequence[str]) -> None:
    """Replace the facts of days by those of these current collections."""
    columns = (COLLECTIONS.c.id, COLLECTIONS.c.account_id, COLLECTIONS.c.day, COLLECTIONS.c.head)
    for begin in range(0, len(collection_ids), _DAYS_AT_ONCE):
        some = collection_ids[begin : begin + _DAYS_AT_ONCE]
        collections = connection.execute(select(*columns).where(COLLECTIONS.c.id.in_(some))).all()
        for day in sorted({collection.day for collection in collections}):
            delete_facts(connection, day, [row.account_id for row in collections if row.day == day])
        rows = [row for collection in collections for row in _rows(collection)]
        if rows:
            connection.execute(insert(COLLECTION_FACTS), rows)


def delete_facts(connection: Connection, day: date, account_ids: Sequence[str]) -> None:
    """Delete the facts of a day of these accounts."""
    of_day = (COLLECTION_FACTS.c.account_id.in_(account_ids), COLLECTION_FACTS.c.day == day)
    connection.execute(delete(COLLECTION_FACTS).where(*of_day))


def read_issues(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str] | None, kinds: Iterable[IssueKind]
) -> dict[str, list[Issue]]:
    """The issues of these kinds, by the id of the current collection. Raises CollectionNotUnderstood."""
    table = COLLECTION_FACTS
    question = select(table.c.collection_id, table.c.ordinal, table.c.issue).where(
        table.c.what.in_([kind.value for kind in kinds]), *_of_window(table, first, end, account_ids)
    )
    issues: dict[str, list[Issue]] = {}
    # Sorted here: with ORDER BY, SQLite scans all facts of these days.
    for id_, _, issue in sorted(connection.execute(question).all()):
        issues.setdefault(id_, []).append(issue_from_json(issue or "", collection_id=id_))
    return issues


def read_not_measured(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str]
) -> dict[str, frozenset[Component]]:
    """The unmeasured components, by the id of the current collection."""
    table = COLLECTION_FACTS
    question = select(table.c.collection_id, table.c.what).where(
        table.c.what.in_(COMPONENTS), *_of_window(table, first, end, account_ids)
    )
    components = defaultdict[str, set[Component]](set)
    for id_, what in connection.execute(question):
        components[id_].add(Component(what))
    return {id_: frozenset(unmeasured) for id_, unmeasured in components.items()}


def read_sums(connection: Connection, first: date, *, end: date, account_ids: Iterable[str] | None) -> list[FactSum]:
    """Sums of facts of stored days, by account and fact."""
    table = COLLECTION_FACTS
    days, hours = func.count(distinct(table.c.day)), func.sum(table.c.hours)
    question = select(table.c.account_id, table.c.what, days, hours, func.min(table.c.day), func.max(table.c.day))
    question = question.where(*_of_window(table, first, end, account_ids)).group_by(table.c.what, table.c.account_id)
    return sorted(FactSum(*row) for row in connection.execute(question))


@gc_paused()
def read_statuses(
    connection: Connection, first: date, *, end: date, account_ids: Iterable[str] | None, now: datetime
) -> Mapping[str, list[DayStatus]]:
    """The status of each known day, by account, in order.

    What was collected after `now`, by a clock that was ahead, is provisional.
    """
    table = COVERAGE
    state = case((table.c.collected_at > to_microseconds(now), DayState.PROVISIONAL.value), else_=table.c.state)
    columns = (
        *(table.c.account_id, type_coerce(table.c.day, String), table.c.collection_id, state),
        *(type_coerce(table.c.is_running, Integer), type_coerce(table.c.audited, Integer)),
        *(table.c.hours_covered, table.c.error_code, table.c.error_message),
    )
    is_scanned = account_ids is None and (end - first).days > _DAYS_TO_SCAN and connection.dialect.name == "sqlite"
    column = _not_indexed(table.c.day) if is_scanned else table.c.day
    question = select(*columns).where(*_of_window(table, first, end, account_ids, column))
    by_account, days = defaultdict[str, list[DayStatus]](list), Dates()
    for id_, day, collection_id, state_word, running, audited, hours, code, message in connection.execute(
        question
    ).all():
        error = None if code is None else (code, message or "")
        known = DayStatus(
            id_, days[day], collection_id, _STATES[state_word], bool(running), bool(audited), hours or 0.0, error
        )
        by_account[id_].append(known)
    for known_days in by_account.values():
        known_days.sort(key=_DAY)
    return dict(by_account)


def _not_indexed(column: Any) -> ColumnElement[Any]:
    """The column, for which SQLite uses no index.

    It would look up each row of a year separately, which takes 1.5 times as long as reading the whole table.
    """
    return UnaryExpression(column.expression, operator=custom_op("+"), type_=column.type)


def _of_window(
    table: Any, first: date, end: date, account_ids: Iterable[str] | None, day: Any = None
) -> list[ColumnElement[bool]]:
    """Conditions for rows of a window and of these accounts. day: another form of the table's column."""
    day = table.c.day if day is None else day
    wanted = [day >= first, day < end]
    return wanted if account_ids is None else [*wanted, table.c.account_id.in_(list(account_ids))]


def _rows(collection: Any) -> list[dict[str, object]]:
    try:
        facts = facts_of(head_from_json(collection.head, collection_id=collection.id).booking)
    except CollectionNotUnderstood as error:
        issue = Issue(IssueKind.SOURCE_WARNING, str(error), None, None, "history", {"code": error.code})
        facts = [Fact(issue.kind.value, None, issue)]
    return [
        {
            "account_id": collection.account_id,
            "day": collection.day,
            "ordinal": ordinal,
            "collection_id": collection.id,
            "what": fact.what,
            "hours": fact.hours,
            "issue": None if fact.issue is None else issue_to_json(fact.issue),
        }
        for ordinal, fact in enumerate(facts)
    ]
