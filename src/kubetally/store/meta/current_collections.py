"""Which collection of an (account, day) is the current one: confirming new ones, and marking what they replace."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from kubetally.domain.money import CurrencyOrigin
from kubetally.store.meta.collection_facts import (
    write_facts,
)
from kubetally.store.meta.collection_rows import SHARED_COLUMNS, Phase
from kubetally.store.meta.tables import (
    ACCOUNTS,
    COLLECTIONS,
    COVERAGE,
    RECONCILIATIONS,
)
from kubetally.store.meta.upsert import put, put_missing


def make_current(connection: Connection, new: Sequence[Mapping[str, Any]], *, version: int, now: int) -> None:
    """Confirm collections; those that come after the current ones take their place, and the others are superseded."""
    current = _locked(connection, sorted((row["account_id"], row["day"]) for row in new))
    replaced: list[_Replaced] = []
    late = []
    for row in sorted(new, key=_rank):
        key = row["account_id"], row["day"]
        before = current.get(key)
        if before is None or _rank(before) < _rank(row):
            current[key] = row
            replaced += [_Replaced(before, row)] if before else []
        else:
            replaced.append(_Replaced(row, before))
            late.append(row)
    current_ids = {row["id"] for row in current.values()}
    ids = [row["id"] for row in new]
    since = func.coalesce(COLLECTIONS.c.confirmed_at, now)  # restored ones were confirmed before
    change = update(COLLECTIONS).values(phase=Phase.CONFIRMED, version=version, confirmed_at=since)
    connection.execute(change.where(COLLECTIONS.c.id.in_(ids)))
    accounts = defaultdict[date, set[str]](set)
    for row in new:
        accounts[row["day"]].add(row["account_id"])
    for day, its in sorted(accounts.items()):
        of_day = (COLLECTIONS.c.day == day, COLLECTIONS.c.account_id.in_(its))
        connection.execute(update(COLLECTIONS).where(*of_day, is_lost()).values(superseded_at=now))
    _supersede(connection, replaced, now)
    for row in late:
        _put_between(connection, row)
    put(connection, COVERAGE, [_coverage(row) for row in new if row["id"] in current_ids])
    write_facts(connection, [row["id"] for row in new if row["id"] in current_ids])


def is_lost() -> ColumnElement[bool]:
    """Whether the lake lost its rows while it was current, and no other replaced it."""
    return and_(COLLECTIONS.c.phase == Phase.MISSING, COLLECTIONS.c.superseded_at.is_(None))


def _locked(connection: Connection, keys: Sequence[tuple[str, date]]) -> dict[tuple[str, date], Mapping[str, Any]]:
    """The current collections of these (account, day), locked until the end of the transaction."""
    put_missing(connection, COVERAGE, [{"account_id": account_id, "day": day} for account_id, day in keys])
    columns = COVERAGE.c
    question = select(
        COVERAGE.c.collection_id.label("id"), COVERAGE.c.version, *(columns[name] for name in SHARED_COLUMNS)
    )
    accounts, days = {account_id for account_id, _ in keys}, {day for _, day in keys}
    question = question.where(COVERAGE.c.account_id.in_(accounts), COVERAGE.c.day.in_(days))
    rows = connection.execute(question.order_by(COVERAGE.c.account_id, COVERAGE.c.day).with_for_update()).mappings()
    return {(row["account_id"], row["day"]): dict(row) for row in rows if row["id"] is not None}


class _Replaced(NamedTuple):
    """A collection, and the one that replaces it."""

    row: Mapping[str, Any]
    by: Mapping[str, Any]


def _supersede(connection: Connection, replaced: Sequence[_Replaced], now: int) -> None:
    running = [row["id"] for row, _ in replaced if row["is_running"]]
    kept: dict[int, list[str]] = defaultdict(list)
    for row, by in replaced:
        if not row["is_running"]:
            kept[by["version"] - 1].append(row["id"])
    if running:
        connection.execute(delete(COLLECTIONS).where(COLLECTIONS.c.id.in_(running)))
    for last_version, ids in kept.items():
        change = update(COLLECTIONS).values(phase=Phase.SUPERSEDED, superseded_at=now, last_version=last_version)
        connection.execute(change.where(COLLECTIONS.c.id.in_(ids)))


def _put_between(connection: Connection, row: Mapping[str, Any]) -> None:
    """Correct the last versions around a collection that was confirmed after the one that replaces it."""
    if row["is_running"]:
        return
    table, version = COLLECTIONS, row["version"]
    of_day = (table.c.account_id == row["account_id"], table.c.day == row["day"], table.c.is_running.is_(False))
    next_version = connection.scalar(select(func.min(table.c.version)).where(*of_day, table.c.version > version))
    if next_version is not None:
        connection.execute(update(table).where(table.c.id == row["id"]).values(last_version=next_version - 1))
    earlier = update(table).where(*of_day, table.c.version < version, table.c.last_version >= version)
    connection.execute(earlier.values(last_version=version - 1))


def _rank(row: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Of two collections of a day the one that ranks higher is current.

    Running days are in a table of their own, whose versions can't be compared; a day that is over comes after it.
    """
    return not row["is_running"], row["version"], row["collected_at"], row["id"]


def _coverage(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an (account, day) once this collection is current, and no attempt followed it."""
    return {
        **{name: row[name] for name in SHARED_COLUMNS},
        "collection_id": row["id"],
        "version": row["version"],
        "attempts": 0,
        "tried_at": row["collected_at"],
        "error_code": None,
        "error_message": None,
    }


def label_as_stated(connection: Connection, new: Sequence[dict[str, Any]], now: int) -> None:
    """Set the currency that the account states, where a day was read before that was corrected."""
    question = select(ACCOUNTS.c.id, ACCOUNTS.c.currency).where(
        ACCOUNTS.c.id.in_({row["account_id"] for row in new}), ACCOUNTS.c.currency.is_not(None)
    )
    stated = {id_: currency for id_, currency in connection.execute(question).all()}  # noqa: C416 (rows are no pairs)
    for row in new:
        currency = stated.get(row["account_id"], row["currency"])
        if currency == row["currency"] or row["currency_origin"] in {None, CurrencyOrigin.SOURCE}:
            continue
        row |= {"currency": currency, "currency_origin": CurrencyOrigin.STATED}
        label = {name: row[name] for name in ("currency", "currency_origin")}
        connection.execute(update(COLLECTIONS).where(COLLECTIONS.c.id == row["id"]).values(label))
        put(connection, RECONCILIATIONS, [{"account_id": row["account_id"], "requested_at": now}])
