"""Collections and attempts, in SQL."""

import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Engine, and_, case, delete, func, or_, select, update

from kubetally.domain.account import StoredDays
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import DAMAGE_CODES, Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.damage import CollectionGone
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import Clock
from kubetally.garbage import gc_paused
from kubetally.ledger.ports.coverage import PastDay, Progress
from kubetally.store.booking_json import (
    clean,
)
from kubetally.store.meta.collection_facts import (
    delete_facts,
    read_issues,
    read_not_measured,
    read_statuses,
    read_sums,
    write_facts,
)
from kubetally.store.meta.collection_rows import SHARED_COLUMNS, Phase, collection_of, row_of
from kubetally.store.meta.coverage_queries import (
    current_collections,
    lost_collections,
    read_balances,
    read_collecting_times,
    read_damaged,
    read_days,
    read_days_of_earlier_lakes,
    read_progress,
    read_stored_days,
)
from kubetally.store.meta.current_collections import is_lost, label_as_stated, make_current
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import to_microseconds
from kubetally.store.meta.past_days import read_past_days
from kubetally.store.meta.tables import (
    ACCOUNTS,
    CODE_LENGTH,
    COLLECTIONS,
    COVERAGE,
    HISTORIES,
    RECONCILIATIONS,
    REVISION,
)
from kubetally.store.meta.upsert import put, put_missing

_MAX_MESSAGE_LENGTH = 2000
_IDS_AT_ONCE = 500
_REVISION_SECONDS = 60.0


class SqlCoverage(SqlStore):
    """The port `Coverage` on a database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine)
        self._clock, self.seconds = clock, time.monotonic  # these are of a clock that is never set

    def revision(self) -> Hashable | None:
        """See `Coverage`. It changes every minute, too: earlier versions, and people, write without it."""
        with self._reads() as connection:
            value: str | None = connection.scalar(select(REVISION.c.value))
        return None if value is None else (value, int(self.seconds() // _REVISION_SECONDS))

    def intend(self, collections: Sequence[Collection]) -> None:
        rows = [row_of(collection) for collection in collections]
        with self._writes() as connection:
            put_missing(connection, COLLECTIONS, rows)

    def confirm(self, collection_ids: Sequence[str], version: int) -> None:
        now = to_microseconds(self._clock.now())
        with self._writes() as connection:
            question = select(COLLECTIONS.c.id, COLLECTIONS.c.phase, *_columns_of_figures()).where(
                COLLECTIONS.c.id.in_(list(collection_ids))
            )
            noted = connection.execute(question.with_for_update()).mappings()
            new = [dict(row, version=version) for row in noted if row["phase"] == Phase.PENDING]
            if new:
                label_as_stated(connection, new, now)
                make_current(connection, new, version=version, now=now)

    def last_version(self, *, is_running: bool = False) -> int | None:
        with self._reads() as connection:
            version: int | None = connection.scalar(
                select(func.max(COVERAGE.c.version)).where(COVERAGE.c.is_running.is_(is_running))
            )
            return version

    def drop(self, collection_ids: Sequence[str]) -> None:
        with self._writes() as connection:
            connection.execute(
                delete(COLLECTIONS).where(
                    COLLECTIONS.c.id.in_(list(collection_ids)), COLLECTIONS.c.phase == Phase.PENDING
                )
            )

    def known_ids(self, collection_ids: Iterable[str]) -> set[str]:
        ids, known = list(collection_ids), set[str]()
        with self._reads() as connection:
            for some in _in_parts(ids):
                known.update(connection.scalars(select(COLLECTIONS.c.id).where(COLLECTIONS.c.id.in_(some))))
        return known

    def lost(self) -> list[Collection]:
        lost = self._collections(lost_collections())
        return list({(collection.account_id, collection.day): collection for collection in lost}.values())

    def mark_missing(self, known: CoveredDay, at: datetime, why: str) -> bool:
        nothing = dict.fromkeys([*(name for name in SHARED_COLUMNS if name not in {"account_id", "day"}), "version"])
        error = {"error_code": CollectionGone.code, "error_message": clean(why)[:_MAX_MESSAGE_LENGTH]}
        of_day = (COVERAGE.c.account_id == known.account_id, COVERAGE.c.day == known.day)
        with self._writes() as connection:
            change = update(COVERAGE).where(*of_day, COVERAGE.c.collection_id == known.collection_id)
            values = {**nothing, **error, "collection_id": None, "attempts": 0, "tried_at": None}
            if not connection.execute(change.values(values)).rowcount:
                return False
            lost = update(COLLECTIONS).where(COLLECTIONS.c.id == known.collection_id)
            replaced_at = to_microseconds(at) if known.is_running else None  # running days have no history
            connection.execute(lost.values(phase=Phase.MISSING, superseded_at=replaced_at))
            delete_facts(connection, known.day, [known.account_id])
            return True

    def restore(self, collections: Sequence[Collection], again: Iterable[str]) -> set[str]:
        now = to_microseconds(self._clock.now())
        is_ours = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id.not_in(select(RECONCILIATIONS.c.account_id)))
        with self._writes() as connection:
            accounts = set(connection.scalars(is_ours))
            new = [
                dict(row_of(collection), version=collection.version)
                for collection in collections
                if collection.account_id in accounts
            ]
            if new:
                put_missing(
                    connection,
                    COLLECTIONS,
                    [{**row, "version": None, "confirmed_at": min(row["collected_at"], now)} for row in new],
                )
            wanted = select(COLLECTIONS.c.id, COLLECTIONS.c.version, COLLECTIONS.c.phase, *_columns_of_figures())
            for some in _in_parts(list(again)):
                question = wanted.where(
                    COLLECTIONS.c.id.in_(some), COLLECTIONS.c.phase.in_([Phase.SUPERSEDED, Phase.MISSING])
                )
                new += [dict(row) for row in connection.execute(question).mappings()]
                waits = update(COLLECTIONS).where(COLLECTIONS.c.id.in_(some))
                connection.execute(waits.values(last_version=None, superseded_at=None))
            if new:
                label_as_stated(connection, new, now)
            by_version = defaultdict[int, list[dict[str, Any]]](list)
            for row in new:
                by_version[row["version"]].append(row)
            for version, rows in sorted(by_version.items()):
                make_current(connection, rows, version=version, now=now)
        return {row["id"] for row in new}

    def pending(self) -> list[Collection]:
        question = select(COLLECTIONS).where(COLLECTIONS.c.phase == Phase.PENDING)
        return self._collections(question.order_by(COLLECTIONS.c.collected_at, COLLECTIONS.c.id))

    def collections(
        self, account_id: str, first: date, *, end: date, as_of: datetime | None = None
    ) -> list[Collection]:
        return self._collections(current_collections(account_id, first, end=end, as_of=as_of))

    def days_as_of(self, as_of: datetime, first: date, *, end: date, account_ids: Iterable[str]) -> list[PastDay]:
        with self._reads() as connection:
            return read_past_days(connection, first, end=end, account_ids=account_ids, as_of=as_of)

    def collections_on(
        self, day: date, account_ids: Iterable[str] | None = None, *, or_lost: bool = False
    ) -> dict[str, Collection]:
        holds = COLLECTIONS.c.phase == Phase.CONFIRMED
        if or_lost:
            holds = or_(holds, is_lost())
        question = select(COLLECTIONS).where(COLLECTIONS.c.day == day, holds)
        if account_ids is not None:
            question = question.where(COLLECTIONS.c.account_id.in_(list(account_ids)))
        return {collection.account_id: collection for collection in self._collections(question)}

    def days_to_examine(self, version: int) -> list[date]:
        question = (
            select(COLLECTIONS.c.day)
            .where(
                COLLECTIONS.c.phase == Phase.CONFIRMED,
                COLLECTIONS.c.examined_by < version,
                COLLECTIONS.c.is_running.is_(False),
            )
            .distinct()
            .order_by(COLLECTIONS.c.day)
        )
        with self._reads() as connection:
            return list(connection.scalars(question))

    def note_examined(self, collections: Sequence[Collection]) -> None:
        with self._writes() as connection:
            for collection in collections:
                row = row_of(collection)
                figures = {name: row[name] for name in ("state", "hours_covered")}
                still_holds = (COLLECTIONS.c.id == collection.id, COLLECTIONS.c.phase == Phase.CONFIRMED)
                change = update(COLLECTIONS).where(*still_holds)
                columns = {**figures, "head": row["head"], "examined_by": row["examined_by"]}
                if connection.execute(change.values(columns)).rowcount:
                    of_day = (COVERAGE.c.account_id == collection.account_id, COVERAGE.c.day == collection.day)
                    holds = COVERAGE.c.collection_id == collection.id
                    connection.execute(update(COVERAGE).where(*of_day, holds).values(figures))
                    write_facts(connection, [collection.id])

    @gc_paused()
    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> list[CoveredDay]:
        with self._reads() as connection:
            return read_days(connection, first, end=end, account_ids=account_ids, now=self._clock.now())

    def statuses(
        self, first: date, *, end: date, account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[DayStatus]]:
        with self._reads() as connection:
            return read_statuses(connection, first, end=end, account_ids=account_ids, now=self._clock.now())

    def issues(
        self, first: date, *, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        with self._reads() as connection:
            return read_issues(connection, first, end=end, account_ids=account_ids, kinds=kinds)

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        with self._reads() as connection:
            return read_sums(connection, first, end=end, account_ids=account_ids)

    def stored_days(self, account_ids: Iterable[str]) -> StoredDays:
        with self._reads() as connection:
            return read_stored_days(connection, account_ids)

    def days_of_earlier_lakes(self, lake_version: int) -> Mapping[str, StoredDays]:
        with self._reads() as connection:
            return read_days_of_earlier_lakes(connection, lake_version)

    def balances(
        self, first: date, *, end: date, account_ids: Iterable[str]
    ) -> dict[str, Mapping[Component, ComponentBalance]]:
        with self._reads() as connection:
            return read_balances(connection, first, end=end, account_ids=account_ids)

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        with self._reads() as connection:
            return read_not_measured(connection, first, end=end, account_ids=account_ids)

    def progress(self, account_ids: Sequence[str], day: date) -> Progress:
        with self._reads() as connection:
            return read_progress(connection, account_ids, day)

    def collecting_times(self) -> list[tuple[datetime, datetime]]:
        with self._reads() as connection:
            return read_collecting_times(connection)

    def damaged(self) -> list[tuple[str, date]]:
        with self._reads() as connection:
            return read_damaged(connection)

    def failed(self, account_id: str, day: date, at: datetime, *, code: str, message: str) -> None:
        new_code, new_message = code[:CODE_LENGTH], clean(message)[:_MAX_MESSAGE_LENGTH]
        error: dict[str, Any] = {"error_code": new_code, "error_message": new_message}
        if code not in DAMAGE_CODES:
            stays = and_(COVERAGE.c.error_code.in_(DAMAGE_CODES), COVERAGE.c.collection_id.is_not(None))
            error = {
                "error_code": case((stays, COVERAGE.c.error_code), else_=new_code),
                "error_message": case((stays, COVERAGE.c.error_message), else_=new_message),
            }
        tried = {"attempts": COVERAGE.c.attempts + 1, "tried_at": to_microseconds(at), **error}
        with self._writes() as connection:
            put_missing(connection, COVERAGE, [{"account_id": account_id, "day": day}])
            connection.execute(
                update(COVERAGE).where(COVERAGE.c.account_id == account_id, COVERAGE.c.day == day).values(tried)
            )

    def clear_damage(self, collections: Sequence[Collection]) -> None:
        cleared = {"attempts": 0, "error_code": None, "error_message": None}
        with self._writes() as connection:
            for collection in collections:
                is_damaged = COVERAGE.c.error_code.in_(DAMAGE_CODES)
                of_day = (COVERAGE.c.account_id == collection.account_id, COVERAGE.c.day == collection.day)
                connection.execute(update(COVERAGE).where(*of_day, is_damaged).values(cleared))

    def history_begins(self, account_id: str) -> date | None:
        with self._reads() as connection:
            return connection.scalar(select(HISTORIES.c.begins).where(HISTORIES.c.account_id == account_id))

    def note_history(self, account_id: str, day: date, at: datetime) -> None:
        with self._writes() as connection:
            put(connection, HISTORIES, [{"account_id": account_id, "begins": day, "found_at": to_microseconds(at)}])

    def forget(self, before: datetime) -> int:
        with self._writes() as connection:
            dropped = connection.execute(
                delete(COLLECTIONS).where(
                    COLLECTIONS.c.phase.in_([Phase.SUPERSEDED, Phase.MISSING]),
                    COLLECTIONS.c.superseded_at < to_microseconds(before),
                )
            )
            return dropped.rowcount

    def _collections(self, question: Any) -> list[Collection]:
        with self._reads() as connection:
            rows = connection.execute(question).all()
        return [collection_of(row) for row in rows]


def _in_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as a statement accepts."""
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[begin : begin + _IDS_AT_ONCE]


def _columns_of_figures() -> list[Any]:
    return [COLLECTIONS.c[name] for name in SHARED_COLUMNS]
