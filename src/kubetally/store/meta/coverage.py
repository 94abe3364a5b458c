"""What was collected, and what was tried, in SQL."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, delete, func, or_, select, update

from kubetally.domain.booking import ComponentBalance
from kubetally.domain.cluster_costs import DayState
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.errors import StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.window import Clock
from kubetally.garbage import gc_paused
from kubetally.ledger.ports.account_days import StoredDays
from kubetally.ledger.ports.coverage import Progress
from kubetally.ledger.ports.damage import CollectionGone
from kubetally.store.meta.collection_facts import (
    delete_facts,
    read_issues,
    read_statuses,
    read_sums,
    write_facts,
)
from kubetally.store.meta.engine import shown
from kubetally.store.meta.faults import translated
from kubetally.store.meta.head import (
    Head,
    balance_from_json,
    balance_to_json,
    clean,
    head_from_json,
    head_to_json,
)
from kubetally.store.meta.instants import from_microseconds, to_microseconds
from kubetally.store.meta.tables import (
    CODE_LENGTH,
    AccountRow,
    CollectionRow,
    CoverageRow,
    HistoryRow,
    ReconciliationRow,
)
from kubetally.store.meta.upsert import put, put_missing

_LARGEST = 2**63 - 1
_MESSAGE_LENGTH = 2000
_DAY_MICROSECONDS = 86_400_000_000
_IDS_AT_ONCE = 500
_FIGURES = (
    "account_id",
    "day",
    "is_running",
    "state",
    "audited",
    "source",
    "row_count",
    "hours_covered",
    "total",
    "currency",
    "currency_origin",
    "collected_at",
)
"""The columns that the tables of collections and of coverage have in common, beside the version."""

_COVERED_DAY = (
    *("account_id", "day", "collection_id", "state", "is_running", "audited", "source", "row_count", "hours_covered"),
    *("total", "currency", "collected_at", "attempts", "tried_at", "error_code", "error_message", "currency_origin"),
)
"""The columns that make a CoveredDay, in the order of its fields."""
_ORIGINS: Mapping[str | None, CurrencyOrigin | None] = {None: None, **{one.value: one for one in CurrencyOrigin}}
_STATES = {state.value: state for state in DayState}


class Phase(StrEnum):
    """How far a collection has come."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"
    MISSING = "missing"  # the lake lost its rows while it held; superseded_at: when another took its place


class TotalTooLarge(StoreError):
    """A day costs more than the database has digits for."""

    code = "total_too_large"

    def __init__(self, account_id: str, day: str, total: int) -> None:
        self.account_id, self.day, self.total = account_id, day, total
        super().__init__(
            f"{day} of account {account_id} comes to {total} millionths, more than can be kept: correct the prices of "
            "its source"
        )


class SqlCoverage:
    """The port `Coverage` on a database. Each call is one transaction of its own; any thread may call."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._writing = engine.execution_options(immediate=True)

    def __repr__(self) -> str:
        return f"SqlCoverage({shown(self._engine)!r})"

    def intend(self, collections: Sequence[Collection]) -> None:
        """Note collections that are about to be committed, all or none; those noted before stay as they are.

        Raises: TotalTooLarge, StoreError.
        """
        rows = [_row(collection) for collection in collections]
        with self._writes() as connection:
            put_missing(connection, CollectionRow, rows)

    def confirm(self, collection_ids: Sequence[str], version: int) -> None:
        """They are in the lake from this version on, and hold, but for those of which a later version holds.

        A currency that the source does not state is the one that the account states by now, if it states one.
        What they replace is kept for `held(as_of=)`, unless it is of a running day. Confirmed again, nothing changes;
        ids that are not noted, or not any more, are passed over.
        Raises: StoreError.
        """
        now = to_microseconds(self._clock.now())
        with self._writes() as connection:
            question = select(CollectionRow.id, CollectionRow.phase, *_columns_of_figures()).where(
                CollectionRow.id.in_(list(collection_ids))
            )
            found = connection.execute(question.with_for_update()).mappings()
            new = [dict(row, version=version) for row in found if row["phase"] == Phase.PENDING]
            if new:
                _label_as_stated(connection, new, now)
                _confirm(connection, new, version, now)

    def last_version(self, *, is_running: bool = False) -> int | None:
        """The greatest version of the table of days, or running days, of a collection that holds; None of none."""
        with self._reads() as connection:
            return connection.scalar(
                select(func.max(CoverageRow.version)).where(CoverageRow.is_running.is_(is_running))
            )

    def drop(self, collection_ids: Sequence[str]) -> None:
        """They were not committed. One that is confirmed stays: its rows are in the lake. Raises StoreError."""
        with self._writes() as connection:
            connection.execute(
                delete(CollectionRow).where(
                    CollectionRow.id.in_(list(collection_ids)), CollectionRow.phase == Phase.PENDING
                )
            )

    def known_ids(self, collection_ids: Iterable[str]) -> set[str]:
        """Which of these are noted, whether they hold or not. Raises StoreError."""
        ids, found = list(collection_ids), set[str]()
        with self._reads() as connection:
            for some in _in_parts(ids):
                found.update(connection.scalars(select(CollectionRow.id).where(CollectionRow.id.in_(some))))
        return found

    def lost(self) -> list[Collection]:
        """What held until the lake lost its rows, of days of which nothing holds; the last of each (account, day).

        Raises: CollectionNotUnderstood, StoreError.
        """
        same_day = and_(CoverageRow.account_id == CollectionRow.account_id, CoverageRow.day == CollectionRow.day)
        question = select(CollectionRow.__table__).join(CoverageRow, same_day)
        question = question.where(CollectionRow.phase == Phase.MISSING, CoverageRow.collection_id.is_(None))
        found = self._collections(question.order_by(CollectionRow.day, CollectionRow.collected_at, CollectionRow.id))
        return list({(one.account_id, one.day): one for one in found}.values())

    def mark_missing(self, known: CoveredDay, at: datetime, why: str) -> bool:
        """The lake lacks the rows of this stored day: it holds no longer, and may be collected again at once.

        The collection stays noted, so that `held_on(or_lost=True)` and `held(as_of=)` find it until another holds.
        False, and nothing is changed, where another collection holds by now. Raises StoreError.
        """
        nothing = dict.fromkeys([*(name for name in _FIGURES if name not in {"account_id", "day"}), "version"])
        error = {"error_code": CollectionGone.code, "error_message": clean(why)[:_MESSAGE_LENGTH]}
        of_day = (CoverageRow.account_id == known.account_id, CoverageRow.day == known.day)
        with self._writes() as connection:
            change = update(CoverageRow).where(*of_day, CoverageRow.collection_id == known.collection_id)
            values = {**nothing, **error, "collection_id": None, "attempts": 0, "tried_at": None}
            if not connection.execute(change.values(values)).rowcount:
                return False
            lost = update(CollectionRow).where(CollectionRow.id == known.collection_id)
            replaced_at = to_microseconds(at) if known.is_running else None  # running days are not kept
            connection.execute(lost.values(phase=Phase.MISSING, superseded_at=replaced_at))
            delete_facts(connection, known.day, [known.account_id])
            return True

    def restore(self, collections: Sequence[Collection], again: Iterable[str]) -> set[str]:
        """Collections that are in the lake hold again; which of them do. Raises TotalTooLarge, StoreError.

        Of accounts that are not there, or whose rows are still to be relabelled or purged, none is noted. Those that
        held before did so from when they were confirmed first; others, from when they were collected.
        """
        now = to_microseconds(self._clock.now())
        is_ours = select(AccountRow.id).where(AccountRow.id.not_in(select(ReconciliationRow.account_id)))
        with self._writes() as connection:
            accounts = set(connection.scalars(is_ours))
            new = [dict(_row(one), version=one.version) for one in collections if one.account_id in accounts]
            if new:
                put_missing(
                    connection,
                    CollectionRow,
                    [{**row, "version": None, "confirmed_at": min(row["collected_at"], now)} for row in new],
                )
            wanted = select(CollectionRow.id, CollectionRow.version, CollectionRow.phase, *_columns_of_figures())
            for some in _in_parts(list(again)):
                question = wanted.where(
                    CollectionRow.id.in_(some), CollectionRow.phase.in_([Phase.SUPERSEDED, Phase.MISSING])
                )
                new += [dict(row) for row in connection.execute(question).mappings()]
                waits = update(CollectionRow).where(CollectionRow.id.in_(some))
                connection.execute(waits.values(last_version=None, superseded_at=None))
            if new:
                _label_as_stated(connection, new, now)
            by_version = defaultdict[int, list[dict[str, Any]]](list)
            for row in new:
                by_version[row["version"]].append(row)
            for version, rows in sorted(by_version.items()):
                _confirm(connection, rows, version, now)
        return {row["id"] for row in new}

    def pending(self) -> list[Collection]:
        """Those noted and neither confirmed nor dropped, the earliest first. Raises CollectionNotUnderstood."""
        question = select(CollectionRow.__table__).where(CollectionRow.phase == Phase.PENDING)
        return self._collections(question.order_by(CollectionRow.collected_at, CollectionRow.id))

    def held(self, account_id: str, first: date, end: date, as_of: datetime | None = None) -> list[Collection]:
        """The collection that holds for each day from `first` to before `end`, in their order.

        as_of: of those confirmed by that instant the one of the latest version; running days are not kept for it. One
        that the lake has lost since is among them, as an earlier one did not hold then.
        Raises: CollectionNotUnderstood, StoreError.
        """
        wanted = [CollectionRow.account_id == account_id, CollectionRow.day >= first, CollectionRow.day < end]
        if as_of is None:
            wanted.append(CollectionRow.phase == Phase.CONFIRMED)
        else:
            wanted += [CollectionRow.is_running.is_(False), CollectionRow.confirmed_at <= to_microseconds(as_of)]
            still = or_(CollectionRow.superseded_at.is_(None), CollectionRow.superseded_at > to_microseconds(as_of))
            wanted.append(or_(CollectionRow.phase != Phase.MISSING, still))
            latest_first = (CollectionRow.version.desc(), CollectionRow.collected_at.desc(), CollectionRow.id.desc())
            place = func.row_number().over(partition_by=CollectionRow.day, order_by=latest_first).label("place")
            ranked = select(CollectionRow.id, place).where(*wanted).subquery()
            wanted = [CollectionRow.id.in_(select(ranked.c.id).where(ranked.c.place == 1))]
        return self._collections(select(CollectionRow.__table__).where(*wanted).order_by(CollectionRow.day))

    def held_on(
        self, day: date, account_ids: Iterable[str] | None = None, *, or_lost: bool = False
    ) -> dict[str, Collection]:
        """The collection that holds for a day of each of these accounts, by account; of all where None.

        or_lost: where none holds, the one that held until the lake lost its rows.
        Raises: CollectionNotUnderstood, StoreError.
        """
        holds = CollectionRow.phase == Phase.CONFIRMED
        if or_lost:
            holds = or_(holds, _is_lost())
        question = select(CollectionRow.__table__).where(CollectionRow.day == day, holds)
        if account_ids is not None:
            question = question.where(CollectionRow.account_id.in_(list(account_ids)))
        return {one.account_id: one for one in self._collections(question)}

    def days_to_examine(self, version: int) -> list[date]:
        """The days, that are over, of collections that hold and that no tests of this version examined."""
        question = (
            select(CollectionRow.day)
            .where(
                CollectionRow.phase == Phase.CONFIRMED,
                CollectionRow.examined_by < version,
                CollectionRow.is_running.is_(False),
            )
            .distinct()
            .order_by(CollectionRow.day)
        )
        with self._reads() as connection:
            return list(connection.scalars(question))

    def note_examined(self, collections: Sequence[Collection]) -> None:
        """Keep the heads of these, as far as they still hold, with their state, hours, facts and who examined them."""
        with self._writes() as connection:
            for collection in collections:
                row = _row(collection)
                found = {name: row[name] for name in ("state", "hours_covered")}
                still_holds = (CollectionRow.id == collection.id, CollectionRow.phase == Phase.CONFIRMED)
                change = update(CollectionRow).where(*still_holds)
                kept = {**found, "head": row["head"], "examined_by": row["examined_by"]}
                if connection.execute(change.values(kept)).rowcount:
                    of_day = (CoverageRow.account_id == collection.account_id, CoverageRow.day == collection.day)
                    holds = CoverageRow.collection_id == collection.id
                    connection.execute(update(CoverageRow).where(*of_day, holds).values(found))
                    write_facts(connection, [collection.id])

    @gc_paused()
    def days(self, first: date, end: date, account_ids: Iterable[str] | None = None) -> list[CoveredDay]:
        """What is known of each (account, day) from `first` to before `end`, by account and day.

        Accounts come in the order of their ids' code points, on every database. account_ids: of all where None.
        Raises: StoreError.
        """
        columns = (CoverageRow.__table__.c[name] for name in _COVERED_DAY)
        question = select(*columns).where(CoverageRow.day >= first, CoverageRow.day < end)
        if account_ids is not None:
            question = question.where(CoverageRow.account_id.in_(list(account_ids)))
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return _covered_days(rows, self._clock.now())

    def statuses(
        self, first: date, end: date, account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[DayStatus]]:
        """How it stands with each day of which something is known, by account, in order. Raises: StoreError."""
        with self._reads() as connection:
            return read_statuses(connection, first, end, account_ids, self._clock.now())

    def issues(
        self, first: date, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        """The issues of these kinds of the days that hold, by the collection's id; others are not there.

        Raises: CollectionNotUnderstood, StoreError.
        """
        with self._reads() as connection:
            return read_issues(connection, first, end, account_ids, kinds)

    def fact_sums(self, first: date, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        """What nobody measured and which issues there are on the days that hold, by account. Raises: StoreError."""
        with self._reads() as connection:
            return read_sums(connection, first, end, account_ids)

    def days_of_earlier_lakes(self, lake_version: int) -> Mapping[str, StoredDays]:
        """The days that hold whose rows were written with an earlier version of the lake's columns, by account.

        Raises: StoreError.
        """
        table = CollectionRow
        question = (
            select(table.account_id, func.count(), func.min(table.day), func.max(table.day))
            .where(table.phase == Phase.CONFIRMED, table.lake_version < lake_version, table.is_running.is_(False))
            .group_by(table.account_id)
            .order_by(table.account_id)
        )
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return {account_id: StoredDays(count, first, last) for account_id, count, first, last in rows}

    def balances(
        self, first: date, end: date, account_ids: Iterable[str]
    ) -> dict[str, Mapping[Component, ComponentBalance]]:
        """The balances of the collections that hold for these days, by the collection's id.

        Raises: CollectionNotUnderstood, StoreError.
        """
        question = select(CollectionRow.id, CollectionRow.balance).where(
            CollectionRow.account_id.in_(list(account_ids)),
            CollectionRow.day >= first,
            CollectionRow.day < end,
            CollectionRow.phase == Phase.CONFIRMED,
        )
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return {id_: balance_from_json(balance, id_) for id_, balance in rows}

    def progress(self, account_ids: Sequence[str], day: date) -> Progress:
        """How far collecting has come; of this day, for how many of the accounts. Raises: StoreError."""
        is_held = CoverageRow.collection_id.is_not(None)
        is_failing = CoverageRow.collection_id.is_(None) & (CoverageRow.error_code != NO_DATA)
        is_whole = is_held & (CoverageRow.day == day) & CoverageRow.is_running.is_(False)
        held, failing, whole = (func.count(case((one, 1))) for one in (is_held, is_failing, is_whole))
        last = func.max(CoverageRow.collected_at)
        question = select(held, failing, whole, last).where(CoverageRow.account_id.in_(list(account_ids)))
        with self._reads() as connection:
            days_held, days_failing, accounts_held, at = connection.execute(question).one()
        return Progress(days_held, days_failing, accounts_held, None if at is None else from_microseconds(at))

    def collecting_times(self) -> list[tuple[datetime, datetime]]:
        """First and last collection of each UTC day with any, newest first. Raises: StoreError."""
        at = CollectionRow.collected_at
        day = (at // _DAY_MICROSECONDS).label("day")
        question = select(func.min(at), func.max(at)).group_by(day).order_by(func.min(at).desc())
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return [(from_microseconds(first), from_microseconds(last)) for first, last in rows]

    def damaged(self) -> list[tuple[str, date]]:
        """The account's name and the day of each day that was found damaged, in order. Raises: StoreError."""
        question = (
            select(AccountRow.name, CoverageRow.day)
            .join(AccountRow, AccountRow.id == CoverageRow.account_id)
            .where(CoverageRow.error_code.in_(DAMAGE_CODES), AccountRow.deleted_at == 0)
            .order_by(AccountRow.name, CoverageRow.day)
        )
        with self._reads() as connection:
            return [(name, day) for name, day in connection.execute(question)]

    def failed(self, account_id: str, day: date, at: datetime, code: str, message: str) -> None:
        """An attempt that met an error; what is held stays held. Of a long message the beginning is kept.

        That a stored day is damaged stays noted, whatever later attempts meet, until it is collected.
        """
        new_code, new_message = code[:CODE_LENGTH], clean(message)[:_MESSAGE_LENGTH]
        found: dict[str, Any] = {"error_code": new_code, "error_message": new_message}
        if code not in DAMAGE_CODES:
            stays = and_(CoverageRow.error_code.in_(DAMAGE_CODES), CoverageRow.collection_id.is_not(None))
            found = {
                "error_code": case((stays, CoverageRow.error_code), else_=new_code),
                "error_message": case((stays, CoverageRow.error_message), else_=new_message),
            }
        tried = {"attempts": CoverageRow.attempts + 1, "tried_at": to_microseconds(at), **found}
        with self._writes() as connection:
            put_missing(connection, CoverageRow, [{"account_id": account_id, "day": day}])
            connection.execute(
                update(CoverageRow).where(CoverageRow.account_id == account_id, CoverageRow.day == day).values(tried)
            )

    def clear_damage(self, collections: Sequence[Collection]) -> None:
        """These stored days can be read again: forget that they were damaged, and when that was. Raises StoreError."""
        cleared = {"attempts": 0, "error_code": None, "error_message": None}
        with self._writes() as connection:
            for collection in collections:
                is_damaged = CoverageRow.error_code.in_(DAMAGE_CODES)
                of_day = (CoverageRow.account_id == collection.account_id, CoverageRow.day == collection.day)
                connection.execute(update(CoverageRow).where(*of_day, is_damaged).values(cleared))

    def history_begins(self, account_id: str) -> date | None:
        """The first day that the account's source holds, as it was last found. Raises StoreError."""
        with self._reads() as connection:
            return connection.scalar(select(HistoryRow.begins).where(HistoryRow.account_id == account_id))

    def note_history(self, account_id: str, day: date, at: datetime) -> None:
        """The account's source was found to hold nothing before this day; what was found before is forgotten."""
        with self._writes() as connection:
            put(connection, HistoryRow, [{"account_id": account_id, "begins": day, "found_at": to_microseconds(at)}])

    def forget(self, before: datetime) -> int:
        """Drop collections that were replaced before this instant; returns how many. Raises StoreError."""
        with self._writes() as connection:
            dropped = connection.execute(
                delete(CollectionRow).where(
                    CollectionRow.phase.in_([Phase.SUPERSEDED, Phase.MISSING]),
                    CollectionRow.superseded_at < to_microseconds(before),
                )
            )
            return dropped.rowcount

    def _collections(self, question: Any) -> list[Collection]:
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return [collection_of(row) for row in rows]

    @contextmanager
    def _reads(self) -> Iterator[Connection]:
        with translated(shown(self._engine)), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writes(self) -> Iterator[Connection]:
        with translated(shown(self._engine)), self._writing.begin() as connection:
            yield connection


def _in_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many at a time as a statement takes."""
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[begin : begin + _IDS_AT_ONCE]


def _label_as_stated(connection: Connection, new: Sequence[dict[str, Any]], now: int) -> None:
    """Give days that were read before their account's currency was corrected the corrected one."""
    question = select(AccountRow.id, AccountRow.currency).where(
        AccountRow.id.in_({row["account_id"] for row in new}), AccountRow.currency.is_not(None)
    )
    stated = {id_: currency for id_, currency in connection.execute(question).all()}  # noqa: C416 (rows are no pairs)
    for row in new:
        currency = stated.get(row["account_id"], row["currency"])
        if currency == row["currency"] or row["currency_origin"] in {None, CurrencyOrigin.SOURCE}:
            continue
        row |= {"currency": currency, "currency_origin": CurrencyOrigin.STATED}
        label = {name: row[name] for name in ("currency", "currency_origin")}
        connection.execute(update(CollectionRow).where(CollectionRow.id == row["id"]).values(label))
        put(connection, ReconciliationRow, [{"account_id": row["account_id"], "requested_at": now}])


def _confirm(connection: Connection, new: Sequence[Mapping[str, Any]], version: int, now: int) -> None:
    """Let the new collections hold that come after what is held, and mark what each of them replaces."""
    held = _locked(connection, sorted((row["account_id"], row["day"]) for row in new))
    replaced: list[_Replaced] = []
    late = []
    for row in sorted(new, key=_rank):
        key = row["account_id"], row["day"]
        before = held.get(key)
        if before is None or _rank(before) < _rank(row):
            held[key] = row
            replaced += [_Replaced(before, row)] if before else []
        else:
            replaced.append(_Replaced(row, before))
            late.append(row)
    holding = {row["id"] for row in held.values()}
    ids = [row["id"] for row in new]
    since = func.coalesce(CollectionRow.confirmed_at, now)  # restored ones held before
    change = update(CollectionRow).values(phase=Phase.CONFIRMED, version=version, confirmed_at=since)
    connection.execute(change.where(CollectionRow.id.in_(ids)))
    accounts = defaultdict[date, set[str]](set)
    for row in new:
        accounts[row["day"]].add(row["account_id"])
    for day, its in sorted(accounts.items()):
        of_day = (CollectionRow.day == day, CollectionRow.account_id.in_(its))
        connection.execute(update(CollectionRow).where(*of_day, _is_lost()).values(superseded_at=now))
    _supersede(connection, replaced, now)
    for row in late:
        _put_between(connection, row)
    put(connection, CoverageRow, [_coverage(row) for row in new if row["id"] in holding])
    write_facts(connection, [row["id"] for row in new if row["id"] in holding])


def _is_lost() -> ColumnElement[bool]:
    """Whether the lake lost its rows while it held, and no other took its place."""
    return and_(CollectionRow.phase == Phase.MISSING, CollectionRow.superseded_at.is_(None))


def _locked(connection: Connection, keys: Sequence[tuple[str, date]]) -> dict[tuple[str, date], Mapping[str, Any]]:
    """What holds for these (account, day); nobody else changes their rows until the end of the transaction."""
    put_missing(connection, CoverageRow, [{"account_id": account_id, "day": day} for account_id, day in keys])
    columns = CoverageRow.__table__.c
    question = select(CoverageRow.collection_id.label("id"), CoverageRow.version, *(columns[one] for one in _FIGURES))
    accounts, days = {account_id for account_id, _ in keys}, {day for _, day in keys}
    question = question.where(CoverageRow.account_id.in_(accounts), CoverageRow.day.in_(days))
    rows = connection.execute(question.order_by(CoverageRow.account_id, CoverageRow.day).with_for_update()).mappings()
    return {(row["account_id"], row["day"]): dict(row) for row in rows if row["id"] is not None}


class _Replaced(NamedTuple):
    """A collection, and the one that holds in its place."""

    row: Mapping[str, Any]
    by: Mapping[str, Any]


def _supersede(connection: Connection, replaced: Sequence[_Replaced], now: int) -> None:
    running = [row["id"] for row, _ in replaced if row["is_running"]]
    kept: dict[int, list[str]] = defaultdict(list)
    for row, by in replaced:
        if not row["is_running"]:
            kept[by["version"] - 1].append(row["id"])
    if running:
        connection.execute(delete(CollectionRow).where(CollectionRow.id.in_(running)))
    for last_version, ids in kept.items():
        change = update(CollectionRow).values(phase=Phase.SUPERSEDED, superseded_at=now, last_version=last_version)
        connection.execute(change.where(CollectionRow.id.in_(ids)))


def _put_between(connection: Connection, row: Mapping[str, Any]) -> None:
    """Correct the last versions around one that was confirmed after what replaced it."""
    if row["is_running"]:
        return
    table, version = CollectionRow, row["version"]
    of_day = (table.account_id == row["account_id"], table.day == row["day"], table.is_running.is_(False))
    next_version = connection.scalar(select(func.min(table.version)).where(*of_day, table.version > version))
    if next_version is not None:
        connection.execute(update(table).where(table.id == row["id"]).values(last_version=next_version - 1))
    earlier = update(table).where(*of_day, table.version < version, table.last_version >= version)
    connection.execute(earlier.values(last_version=version - 1))


def _rank(row: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Of two collections of a day the one that ranks higher holds.

    Running days are in a table of their own, whose versions can't be compared; a day that is over comes after it.
    """
    return not row["is_running"], row["version"], row["collected_at"], row["id"]


def _columns_of_figures() -> list[Any]:
    return [CollectionRow.__table__.c[name] for name in _FIGURES]


def _coverage(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an (account, day) once this collection holds: collected well, and not tried since."""
    return {
        **{name: row[name] for name in _FIGURES},
        "collection_id": row["id"],
        "version": row["version"],
        "attempts": 0,
        "tried_at": row["collected_at"],
        "error_code": None,
        "error_message": None,
    }


def _row(collection: Collection) -> dict[str, Any]:
    """A collection as it is noted. Raises TotalTooLarge."""
    head = collection.head
    total = head.bill.total
    if abs(total) > _LARGEST:
        raise TotalTooLarge(collection.account_id, collection.day.isoformat(), total)
    return {
        "id": collection.id,
        "account_id": collection.account_id,
        "day": collection.day,
        "collected_at": to_microseconds(collection.collected_at),
        "is_running": collection.is_running,
        "phase": Phase.PENDING,
        "state": collection.state,
        "row_count": collection.rows,
        "hours_covered": collection.hours_covered,
        "audited": head.audited,
        "currency": head.currency,
        "currency_origin": head.currency_origin,
        "source": clean(collection.source.url),
        "total": total,
        "balance": balance_to_json(collection.balance),
        "head": head_to_json(Head(collection.source, head, collection.completeness, collection.asset_sums)),
        "examined_by": collection.examined_by,
        "lake_version": collection.lake_version,
    }


def collection_of(row: Any) -> Collection:
    """The collection of a row of `CollectionRow`. Raises CollectionNotUnderstood."""
    head = head_from_json(row.head, row.id)
    origin = head.booking.currency_origin if row.currency_origin is None else CurrencyOrigin(row.currency_origin)
    return Collection(
        id=row.id,
        account_id=row.account_id,
        day=row.day,
        collected_at=from_microseconds(row.collected_at),
        source=head.source,
        head=replace(head.booking, currency=row.currency, currency_origin=origin),
        rows=row.row_count,
        balance=balance_from_json(row.balance, row.id),
        is_running=row.is_running,
        version=row.version,
        last_version=row.last_version,
        completeness=head.completeness,
        examined_by=row.examined_by,
        asset_sums=head.assets,
        lake_version=row.lake_version,
    )


def _covered_days(rows: Iterable[Any], now: datetime) -> list[CoveredDay]:
    """The days, by account and day. Written for a year of a fleet: what repeats in most rows is converted once.

    What was collected after `now`, by a clock that was ahead, is provisional.
    """
    instant, latest = cache(from_microseconds), to_microseconds(now)
    days = []
    for account_id, day, held, state, running, audited, source, count, hours, total, currency, at, *tried in rows:
        attempts, tried_at, code, message, origin = tried
        error = None if code is None else (code, message or "")
        last = None if tried_at is None else instant(tried_at)
        days.append(
            CoveredDay(account_id, day, None, None, False, False, None, 0, 0.0, 0, None, None, attempts, last, error)
            if held is None
            else CoveredDay(
                *(
                    account_id,
                    day,
                    held,
                    _STATES[state] if at <= latest else DayState.PROVISIONAL,
                    running,
                    audited,
                    source,
                    count,
                    hours,
                    total,
                    currency,
                ),
                *(instant(at), attempts, last, error, _ORIGINS[origin]),
            )
        )
    days.sort(key=attrgetter("account_id", "day"))
    return days
